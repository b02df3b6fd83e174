// The source of all randomness in the simulated year, so that a seed reproduces it.

import { nodeCrypto, type PairingCrypto } from '@palyra/identity/values';

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** A random time between independent events. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** A separate source, so that the draws of one part do not affect another. */
  fork(): Random {
    return new Random(this.below(2 ** 32));
  }
}

/**
 * Real cryptography; serials, ids, codes and challenges come from the seed. (Keys do not, and nothing depends on them.)
 */
export function seededCrypto(random: Random): PairingCrypto {
  return {
    ...nodeCrypto,
    randomBytes: (length) => random.bytes(length),
    randomInt: (below) => random.below(below),
  };
}
