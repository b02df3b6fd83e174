// A clock that stands still until a test moves it.

import type { RunningClock } from '@palyra/identity/values';

export class HeldClock implements RunningClock {
  #ms: number;
  #elapsedMs = 0;

  /** Starts at the real time, because the TLS stack of either side looks at the real one. */
  constructor(ms = Date.now()) {
    this.#ms = ms;
  }

  now(): Date {
    return new Date(this.#ms);
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** Time passes. @param ms may be negative: clocks are set back, too. */
  advance(ms: number): void {
    this.#ms += ms;
    this.#elapsedMs += Math.max(0, ms);
  }

  /** Somebody sets it, or the machine slept. */
  jump(ms: number): void {
    this.#ms += ms;
  }
}

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;
