// A clock that stops until a test moves it.

import type { RunningClock } from '@palyra/identity/values';

export class HeldClock implements RunningClock {
  #ms: number;
  #elapsedMs = 0;

  /** Starts at the real time, because the TLS stacks use the real time. */
  constructor(ms = Date.now()) {
    this.#ms = ms;
  }

  now(): Date {
    return new Date(this.#ms);
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** Lets time pass. @param ms may be negative, to set the clock back. */
  advance(ms: number): void {
    this.#ms += ms;
    this.#elapsedMs += Math.max(0, ms);
  }

  /** Moves the time of day, as if somebody set the clock or the machine slept. */
  jump(ms: number): void {
    this.#ms += ms;
  }
}

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;
