// Limits the bytes of incomplete messages, over all transports: per session, per owner of sessions, and for all peers
// together. When a call ends for any reason, its bytes are released.

import { IdentityError, type Link, LinkedList } from '@palyra/identity/portable';

export interface UnfinishedLimits {
  /** For one session whose owner is not known yet, bytes. */
  readonly unknownBytes: number;
  /** For one session, bytes: 32 messages of the largest size, and some more. */
  readonly sessionBytes: number;
  /** For all sessions of one owner (a device, or a stranger's address), bytes. */
  readonly ownerBytes: number;
  /** For all sessions, bytes. */
  readonly totalBytes: number;
}

export const defaultUnfinishedLimits: UnfinishedLimits = {
  unknownBytes: 1024 * 1024,
  sessionBytes: 36 * 1024 * 1024,
  ownerBytes: 48 * 1024 * 1024,
  totalBytes: 256 * 1024 * 1024,
};

const retryAfterMs = 1_000;

export class UnfinishedBytes {
  readonly limits: UnfinishedLimits;
  readonly #owners = new Map<string, number>();
  readonly #sessions = new WeakMap<object, SessionBytes>();
  #bytes = 0;

  constructor(limits: Partial<UnfinishedLimits> = {}) {
    this.limits = { ...defaultUnfinishedLimits, ...limits };
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param key the session object of the transport. */
  of(key: object): SessionBytes {
    let session = this.#sessions.get(key);
    if (!session) {
      session = new SessionBytes(this);
      this.#sessions.set(key, session);
    }
    return session;
  }

  ownedBy(owner: string): number {
    return this.#owners.get(owner) ?? 0;
  }

  /** For sessions. */
  move(bytes: number, owner: string | undefined): void {
    this.#bytes += bytes;
    this.moveOwned(bytes, owner);
  }

  /** For sessions: changes only the share of an owner. The total counts these bytes already. */
  moveOwned(bytes: number, owner: string | undefined): void {
    if (owner === undefined) return;
    const left = this.ownedBy(owner) + bytes;
    if (left > 0) this.#owners.set(owner, left);
    else this.#owners.delete(owner);
  }
}

export class SessionBytes {
  readonly #all: UnfinishedBytes;
  #owner: string | undefined;
  #bytes = 0;
  #isStopped = false;
  /** Those that want to know of a stop. */
  readonly #calls = new LinkedList<HeldBytes>();

  constructor(all: UnfinishedBytes) {
    this.#all = all;
  }

  /** From now on the session's bytes also count for this owner. */
  belongsTo(owner: string): void {
    this.#all.moveOwned(-this.#bytes, this.#owner);
    this.#owner = owner;
    this.#all.moveOwned(this.#bytes, owner);
  }

  /** The peer was refused or shut out. Its calls keep no more bytes, and calls that wait for bytes fail with the reason. */
  stop(reason: unknown): void {
    this.#isStopped = true;
    for (const call of this.#calls) call.stop(reason);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** For calls. */
  add(call: HeldBytes): Link<HeldBytes> {
    return this.#calls.add(call);
  }

  /** For calls. */
  remove(link: Link<HeldBytes> | undefined): void {
    this.#calls.remove(link);
  }

  call(): HeldBytes {
    return new HeldBytes(this);
  }

  /** For calls. @returns whether there is room. */
  fits(bytes: number): boolean {
    const { unknownBytes, sessionBytes, ownerBytes, totalBytes } = this.#all.limits;
    const owner = this.#owner;
    if (this.#bytes + bytes > (owner === undefined ? unknownBytes : sessionBytes)) return false;
    if (owner !== undefined && this.#all.ownedBy(owner) + bytes > ownerBytes) return false;
    return this.#all.bytes + bytes <= totalBytes;
  }

  /** For calls. */
  take(bytes: number): void {
    this.#move(bytes);
  }

  /** For calls. */
  giveBack(bytes: number): void {
    this.#move(-bytes);
  }

  #move(bytes: number): void {
    this.#bytes += bytes;
    this.#all.move(bytes, this.#owner);
  }
}

/** The bytes that one call holds. */
export class HeldBytes {
  readonly #session: SessionBytes;
  #link: Link<HeldBytes> | undefined;
  #stopped: ((reason: unknown) => void) | undefined;
  #bytes = 0;
  #isOver = false;

  constructor(session: SessionBytes) {
    this.#session = session;
  }

  /** Whether there is room. */
  fits(bytes: number): boolean {
    return this.#isOver || this.#session.fits(bytes);
  }

  /** @returns whether there is room. Without room nothing is held. */
  add(bytes: number): boolean {
    if (this.#isOver) return true;
    if (!this.#session.fits(bytes)) return false;
    this.#session.take(bytes);
    this.#bytes += bytes;
    return true;
  }

  remove(bytes: number): void {
    if (this.#isOver || bytes === 0) return;
    this.#bytes -= bytes;
    this.#session.giveBack(bytes);
  }

  /** Calls the listener once if the peer is shut out during the call. */
  whenStopped(tell: (reason: unknown) => void): void {
    this.#stopped = tell;
    this.#link ??= this.#session.add(this);
  }

  /** For the session. */
  stop(reason: unknown): void {
    const tell = this.#stopped;
    this.#stopped = undefined;
    tell?.(reason);
  }

  /** The call is over. */
  end(): void {
    if (this.#isOver) return;
    this.#session.remove(this.#link);
    this.#stopped = undefined;
    this.remove(this.#bytes);
    this.#isOver = true;
  }
}

/** The error for a peer whose message finds no room. */
export const tooManyUnfinishedBytes = () =>
  new IdentityError(
    'TOO_MANY_REQUESTS',
    'The daemon holds as many bytes of unfinished messages as it allows. Send fewer at one time, or try again.',
    { retryAfterMs },
  );
