// Challenges for recoveries. Each is valid once, for a short time, on its own channel.

import { bytesToHex } from '@noble/curves/utils.js';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { IdentityError } from '../errors.ts';
import type { PairingLimits } from '../limits.ts';

interface Challenge {
  readonly channelBinding: Uint8Array;
  readonly expiresAtMs: number;
}

export interface ChallengesOptions {
  readonly crypto: Pick<PairingCrypto, 'randomBytes' | 'equal'>;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'sessions' | 'sessionLifeMs'>;
}

export class Challenges {
  readonly #options: ChallengesOptions;
  /** By challenge, hex; in order of making. */
  readonly #challenges = new Map<string, Challenge>();

  constructor(options: ChallengesOptions) {
    this.#options = options;
  }

  /** 32 bytes. @throws TOO_MANY_SESSIONS */
  make(channelBinding: Uint8Array): Uint8Array {
    const { crypto, clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    for (const [key, { expiresAtMs }] of this.#challenges) {
      if (expiresAtMs <= nowMs || expiresAtMs > nowMs + limits.sessionLifeMs) this.#challenges.delete(key);
    }
    if (this.#challenges.size >= limits.sessions) {
      throw new IdentityError('TOO_MANY_SESSIONS', 'Too many recoveries are in progress.', {
        retryAfterMs: limits.sessionLifeMs,
      });
    }
    const challenge = crypto.randomBytes(32);
    this.#challenges.set(bytesToHex(challenge), {
      channelBinding,
      expiresAtMs: nowMs + limits.sessionLifeMs,
    });
    return challenge;
  }

  /** Uses a challenge up. @throws SESSION_NOT_FOUND */
  take(challenge: Uint8Array, channelBinding: Uint8Array): void {
    const { crypto, clock } = this.#options;
    const key = bytesToHex(challenge);
    const found = this.#challenges.get(key);
    const isMine = found && crypto.equal(found.channelBinding, channelBinding);
    if (!isMine || clock.now().getTime() >= found.expiresAtMs) {
      throw new IdentityError(
        'SESSION_NOT_FOUND',
        'This recovery is unknown, expired or already used. Start again.',
      );
    }
    this.#challenges.delete(key);
  }
}
