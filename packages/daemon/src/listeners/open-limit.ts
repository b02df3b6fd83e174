// Limits how often codes may be tried: per source and in total. Memory is bounded, because a new source is remembered
// only while the total limit has room. The daemons of a fleet also count together, in their database.

import { IdentityError } from '@palyra/identity';
import { sourceKey } from '@palyra/rpc/transport';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

const everyone = 'all';
const windowSeconds = 60;

interface Limits {
  readonly perSource: number;
  readonly overall: number;
}

/** Counts of all daemons of a fleet. */
interface Together {
  rate(key: string): Promise<{ readonly count: number; readonly leftMs: number } | undefined>;
  countRate(key: string, ms: number): Promise<{ readonly count: number; readonly leftMs: number }>;
}

export class OpenLimit {
  readonly #limits: Limits;
  readonly #together: Together | undefined;
  readonly #perSource: RateLimiterMemory;
  readonly #overall: RateLimiterMemory;
  /** Number of refusals since the start. */
  refused = 0;

  constructor(limits: Limits & { readonly together?: Together | undefined }) {
    this.#limits = limits;
    this.#together = limits.together;
    this.#perSource = new RateLimiterMemory({ points: limits.perSource, duration: windowSeconds });
    this.#overall = new RateLimiterMemory({ points: limits.overall, duration: windowSeconds });
  }

  /** Counts one Open. @throws RATE_LIMITED with the time after which to try again. */
  async take(source: string): Promise<void> {
    const key = sourceKey(source);
    try {
      const overall = await this.#overall.get(everyone);
      if (overall && overall.remainingPoints <= 0) throw overall;
      await this.#perSource.consume(key);
      await this.#overall.consume(everyone);
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      throw this.#refusal(refusal.msBeforeNext);
    }
    if (this.#together) await this.#takeTogether(this.#together, key);
  }

  async #takeTogether(together: Together, key: string): Promise<void> {
    const { perSource, overall } = this.#limits;
    const all = await together.rate(everyone);
    if (all && all.count >= overall) throw this.#refusal(all.leftMs);
    const mine = await together.countRate(`source/${key}`, windowSeconds * 1000);
    if (mine.count > perSource) throw this.#refusal(mine.leftMs);
    const now = await together.countRate(everyone, windowSeconds * 1000);
    if (now.count > overall) throw this.#refusal(now.leftMs);
  }

  #refusal(retryAfterMs: number): IdentityError {
    this.refused += 1;
    return new IdentityError('RATE_LIMITED', 'Too many pairing attempts.', { retryAfterMs });
  }
}
