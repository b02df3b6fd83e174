// The sessions of the console. One browser uses up a login link, and from then on has two things:
//
// - a cookie that scripts cannot read. A browser sends it to every port of this host, so any other server on localhost
//   would get it; alone it is useless.
// - a key that scripts can use but not export (WebCrypto, not extractable), stored for this origin, including the port.
//   Each opened page uses it to answer a challenge and gets the session's page token, held only in memory.
//
//   link ─> login(secret, key) ─> session ─> every call: cookie + page token
//                                    ├ reload: challenge ─> resume(signature) ─> the page token again
//                                    └ log-out, 15 min without use, 12 h: ended, and so are its streams

import {
  createHash,
  createPublicKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import type { Clock } from '@palyra/identity/values';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

export interface ConsoleLimits {
  readonly loginLifeMs: number;
  /** Most unused login links; a new one ends the oldest. */
  readonly logins: number;
  /** Time without use after which a session ends. Fetches that a page makes by itself do not count as use. */
  readonly idleMs: number;
  readonly sessionLifeMs: number;
  /** Most sessions; a new one ends the one unused for longest. */
  readonly sessions: number;
  /** Failed logins per minute, in total. */
  readonly failedLogins: number;
}

export const defaultConsoleLimits: ConsoleLimits = {
  loginLifeMs: 2 * 60_000,
  logins: 8,
  idleMs: 15 * 60_000,
  sessionLifeMs: 12 * 3_600_000,
  sessions: 8,
  failedLogins: 10,
};

/** The refusal of a browser, with which the listener answers. */
export class ConsoleRefusal extends Error {
  readonly kind: 'unauthenticated' | 'resource_exhausted' | 'invalid_argument';

  constructor(kind: ConsoleRefusal['kind'], message: string) {
    super(message);
    this.name = 'ConsoleRefusal';
    this.kind = kind;
  }
}

interface Session {
  readonly cookie: Digest;
  readonly pageToken: string;
  readonly key: KeyObject;
  readonly endsAtMs: number;
  readonly end: AbortController;
  usedAtMs: number;
  /** Open challenges; each works once. */
  challenges: string[];
}

type Digest = string;

const maxChallenges = 8;

export class ConsoleSessions {
  readonly #clock: Clock;
  readonly #limits: ConsoleLimits;
  /** By the digest of the secret, so that the time of a lookup reveals nothing. Oldest first. */
  readonly #logins = new Map<Digest, { readonly endsAtMs: number }>();
  readonly #sessions = new Map<Digest, Session>();
  readonly #failures: RateLimiterMemory;
  failedLogins = 0;

  constructor(clock: Clock, limits: Partial<ConsoleLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...defaultConsoleLimits, ...limits };
    this.#failures = new RateLimiterMemory({ points: this.#limits.failedLogins, duration: 60 });
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** 256 bits that log one browser in, once. */
  mintLogin(): { readonly secret: string; readonly expiresAt: Date } {
    this.sweep();
    const secret = randomSecret();
    const endsAtMs = this.#now() + this.#limits.loginLifeMs;
    this.#logins.set(digest(secret), { endsAtMs });
    if (this.#logins.size > this.#limits.logins) this.#logins.delete(firstOf(this.#logins)!);
    return { secret, expiresAt: new Date(endsAtMs) };
  }

  /**
   * Uses up a login link.
   * @param key the page's public key, SPKI, P-256.
   * @throws ConsoleRefusal
   */
  async login(
    secret: string,
    key: Uint8Array,
  ): Promise<{ readonly cookie: string; readonly pageToken: string }> {
    const open = await this.#failures.get('all');
    if (open && open.remainingPoints <= 0) throw tooMany(open);
    const publicKey = parsePageKey(key);
    this.sweep();
    if (!this.#logins.delete(digest(secret))) {
      this.failedLogins += 1;
      await this.#failures.consume('all').catch((error) => {
        if (!(error instanceof RateLimiterRes)) throw error;
      });
      throw new ConsoleRefusal(
        'unauthenticated',
        'This login link was used before, is older than two minutes, or is from another daemon.',
      );
    }
    const now = this.#now();
    const cookie = randomSecret();
    const session: Session = {
      cookie: digest(cookie),
      pageToken: randomSecret(),
      key: publicKey,
      endsAtMs: now + this.#limits.sessionLifeMs,
      end: new AbortController(),
      usedAtMs: now,
      challenges: [],
    };
    this.#sessions.set(session.cookie, session);
    if (this.#sessions.size > this.#limits.sessions) {
      this.#end([...this.#sessions.values()].sort((a, b) => a.usedAtMs - b.usedAtMs)[0]!);
    }
    return { cookie, pageToken: session.pageToken };
  }

  /** @throws ConsoleRefusal */
  challenge(cookie: string | undefined): string {
    const session = this.#find(cookie);
    const challenge = randomSecret();
    session.challenges = [...session.challenges, challenge].slice(-maxChallenges);
    return challenge;
  }

  /**
   * Resumes the session for a reopened page, which proves itself with the session's key.
   * @param origin the page's origin, so that a proof made for another port is invalid here.
   * @throws ConsoleRefusal
   */
  resume(cookie: string | undefined, origin: string, challenge: string, signature: Uint8Array): string {
    const session = this.#find(cookie);
    const isOpen = session.challenges.includes(challenge);
    session.challenges = session.challenges.filter((each) => each !== challenge);
    const signed = Buffer.from(`palyra-console-v1 resume\n${origin}\n${challenge}`);
    if (!isOpen || !verify('sha256', signed, { key: session.key, dsaEncoding: 'ieee-p1363' }, signature)) {
      throw noSession();
    }
    session.usedAtMs = this.#now();
    return session.pageToken;
  }

  /**
   * @param used whether a person acted, which extends the session.
   * @returns aborted when the session ends.
   * @throws ConsoleRefusal
   */
  check(cookie: string | undefined, pageToken: string | undefined, used: boolean): AbortSignal {
    const session = this.#find(cookie);
    if (!pageToken || !sameText(pageToken, session.pageToken)) throw noSession();
    if (used) session.usedAtMs = this.#now();
    return session.end.signal;
  }

  /** Ends the session. @throws ConsoleRefusal */
  logout(cookie: string | undefined, pageToken: string | undefined): void {
    this.check(cookie, pageToken, false);
    this.#end(this.#find(cookie));
  }

  /** Ends expired links, challenges and sessions. */
  sweep(): void {
    const now = this.#now();
    for (const [secret, { endsAtMs }] of this.#logins) if (endsAtMs <= now) this.#logins.delete(secret);
    for (const session of this.#sessions.values()) {
      if (session.endsAtMs <= now || session.usedAtMs + this.#limits.idleMs <= now) this.#end(session);
    }
  }

  close(): void {
    for (const session of this.#sessions.values()) this.#end(session);
    this.#logins.clear();
  }

  #find(cookie: string | undefined): Session {
    this.sweep();
    const session = cookie === undefined ? undefined : this.#sessions.get(digest(cookie));
    if (!session) throw noSession();
    return session;
  }

  #end(session: Session): void {
    this.#sessions.delete(session.cookie);
    session.end.abort(noSession());
  }

  #now(): number {
    return this.#clock.now().getTime();
  }
}

function parsePageKey(spki: Uint8Array): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // Every problem with the key gives the same answer.
  }
  throw new ConsoleRefusal('invalid_argument', 'The page did not send a P-256 public key.');
}

function noSession(): ConsoleRefusal {
  return new ConsoleRefusal('unauthenticated', 'There is no session.');
}

function tooMany({ msBeforeNext }: RateLimiterRes): ConsoleRefusal {
  const seconds = Math.ceil(msBeforeNext / 1000);
  return new ConsoleRefusal(
    'resource_exhausted',
    `Too many failed logins. Try again in ${seconds} seconds, with a new link.`,
  );
}

const randomSecret = (): string => randomBytes(32).toString('base64url');
const digest = (text: string): Digest => createHash('sha256').update(text).digest('hex');
const sameText = (a: string, b: string): boolean =>
  timingSafeEqual(Buffer.from(digest(a)), Buffer.from(digest(b)));
const firstOf = <K>(map: ReadonlyMap<K, unknown>): K | undefined => map.keys().next().value;
