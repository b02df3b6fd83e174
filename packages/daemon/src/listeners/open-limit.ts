// Limits how often codes may be tried: per source and in total. Memory is bounded, because a new source is remembered
// only while the total limit has room.

import { IdentityError } from '@palyra/identity';
import { sourceKey } from '@palyra/rpc/transport';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

const everyone = 'all';
const windowSeconds = 60;

export class OpenLimit {
  readonly #perSource: RateLimiterMemory;
  readonly #overall: RateLimiterMemory;
  /** Number of refusals since the start. */
  refused = 0;

  constructor(limits: { readonly perSource: number; readonly overall: number }) {
    this.#perSource = new RateLimiterMemory({ points: limits.perSource, duration: windowSeconds });
    this.#overall = new RateLimiterMemory({ points: limits.overall, duration: windowSeconds });
  }

  /** Counts one Open. @throws RATE_LIMITED with the time after which to try again. */
  async take(source: string): Promise<void> {
    try {
      const overall = await this.#overall.get(everyone);
      if (overall && overall.remainingPoints <= 0) throw overall;
      await this.#perSource.consume(sourceKey(source));
      await this.#overall.consume(everyone);
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      this.refused += 1;
      throw new IdentityError('RATE_LIMITED', 'Too many pairing attempts.', {
        retryAfterMs: refusal.msBeforeNext,
      });
    }
  }
}
