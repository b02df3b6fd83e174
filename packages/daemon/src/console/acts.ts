// Acts that wait for a passkey. A challenge is the hash of one act and a nonce, so an assertion over it is a consent to
// that act and to no other: another call, another request or another session does not fit. It is good for one try.
//
//   beginAct(call) ─> challenge = SHA-256(nonce, method, request) ─> assertion over it ─> take(the call, as it arrives)

import { createHash, randomBytes } from 'node:crypto';
import { IdentityError, lvCat } from '@palyra/identity/portable';
import type { Clock } from '@palyra/identity/values';

export interface Act {
  /** Name of the method. */
  readonly method: string;
  /** The request message, binary. */
  readonly request: Uint8Array;
  /** A digest that no other session has. */
  readonly session: string;
}

/** Life of a challenge, ms. */
const actLifeMs = 2 * 60_000;
/** Open challenges; a new one ends the oldest. */
const maxActs = 64;

interface OpenAct {
  readonly nonce: Uint8Array;
  readonly endsAtMs: number;
}

export class Acts {
  readonly #clock: Clock;
  /** By challenge, base64url; oldest first. */
  readonly #open = new Map<string, OpenAct>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the challenge, base64url. */
  begin(act: Act): string {
    const nonce = randomBytes(32);
    const challenge = challengeOf(nonce, act);
    this.#open.set(challenge, { nonce, endsAtMs: this.#now() + actLifeMs });
    if (this.#open.size > maxActs) this.#open.delete(this.#open.keys().next().value!);
    return challenge;
  }

  /** Uses the challenge up. @throws PASSKEY_WRONG if it is not open, or is for another act. */
  take(challenge: string, act: Act): void {
    const open = this.#open.get(challenge);
    this.#open.delete(challenge);
    if (!open || open.endsAtMs <= this.#now())
      throw wrong('This use of a passkey was too late, or was counted already.');
    if (challengeOf(open.nonce, act) !== challenge)
      throw wrong('The passkey confirmed another act than this one.');
  }

  #now(): number {
    return this.#clock.now().getTime();
  }
}

function challengeOf(nonce: Uint8Array, { method, request, session }: Act): string {
  const act = lvCat('palyra-act-v1', nonce, session, method, request);
  return createHash('sha256').update(act).digest('base64url');
}

export function wrong(message: string, cause?: unknown): IdentityError {
  return new IdentityError('PASSKEY_WRONG', message, { cause });
}
