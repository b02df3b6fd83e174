// Bytes of messages that are not whole yet, over every transport: what a session, its owner and all peers together may leave
// lying here. A call that ends, however that happens, gives back what it held.

import { IdentityError } from '@palyra/identity/portable';

export interface UnfinishedLimits {
  /** Of one session whose owner is not known yet, bytes. */
  readonly unknownBytes: number;
  /** Of one session, bytes: 32 messages of the largest size, and some more. */
  readonly sessionBytes: number;
  /** Of all sessions of one owner (a device, or a stranger's address), bytes. */
  readonly ownerBytes: number;
  /** Of all, bytes. */
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

  /** Held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param key the session, whatever the transport calls that. */
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

  /** For sessions: of bytes that are counted already. */
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
  readonly #whenStopped = new Map<HeldBytes, (reason: unknown) => void>();

  constructor(all: UnfinishedBytes) {
    this.#all = all;
  }

  /** From now on what it holds counts for this owner as well. */
  belongsTo(owner: string): void {
    this.#all.moveOwned(-this.#bytes, this.#owner);
    this.#owner = owner;
    this.#all.moveOwned(this.#bytes, owner);
  }

  /** The peer was refused or shut out: no more bytes of it are kept, and calls that wait for more are told why. */
  stop(reason: unknown): void {
    this.#isStopped = true;
    for (const tell of this.#whenStopped.values()) tell(reason);
    this.#whenStopped.clear();
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** For calls. */
  whenStopped(call: HeldBytes, tell: (reason: unknown) => void): void {
    this.#whenStopped.set(call, tell);
  }

  /** For calls. */
  forget(call: HeldBytes): void {
    this.#whenStopped.delete(call);
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

/** What one call holds. */
export class HeldBytes {
  readonly #session: SessionBytes;
  #bytes = 0;
  #isOver = false;

  constructor(session: SessionBytes) {
    this.#session = session;
  }

  /** Whether there is room. */
  fits(bytes: number): boolean {
    return this.#isOver || this.#session.fits(bytes);
  }

  /** @returns whether there is room; without it nothing is held. */
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

  /** Told once, should the peer be shut out while the call lasts. */
  whenStopped(tell: (reason: unknown) => void): void {
    this.#session.whenStopped(this, tell);
  }

  /** The call is over. */
  end(): void {
    if (this.#isOver) return;
    this.#session.forget(this);
    this.remove(this.#bytes);
    this.#isOver = true;
  }
}

/** What a peer is told whose message finds no room. */
export const tooManyUnfinishedBytes = () =>
  new IdentityError(
    'TOO_MANY_REQUESTS',
    'The daemon holds as many bytes of unfinished messages as it takes. Send fewer at one time, or try again.',
    { retryAfterMs },
  );
