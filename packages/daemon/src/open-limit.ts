// How often codes may be tried: per source and over all. Memory is bounded, because a new source is only remembered
// while the limit over all still has room.

import { isIPv6 } from 'node:net';
import { IdentityError } from '@palyra/identity';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';

const everyone = 'all';
const windowSeconds = 60;

export class OpenLimit {
  readonly #perSource: RateLimiterMemory;
  readonly #overall: RateLimiterMemory;
  /** How many were refused since the start. */
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
      throw new IdentityError(
        'RATE_LIMITED',
        `Too many pairing attempts. Try again in ${Math.ceil(refusal.msBeforeNext / 1000)} seconds.`,
        { retryAfterMs: refusal.msBeforeNext },
      );
    }
  }
}

/** An IPv4 address, or the /64 of an IPv6 address: what one party can be assumed to hold. */
export function sourceKey(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped) return mapped;
  if (!isIPv6(address)) return address;
  // The URL parser reads every form of an address and writes one.
  const written = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const [head = '', tail = ''] = written.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === '' ? [] : tail.split(':');
  const groups = written.includes('::')
    ? [...front, ...Array(Math.max(0, 8 - front.length - back.length)).fill('0'), ...back]
    : front;
  return groups.slice(0, 4).join(':');
}
