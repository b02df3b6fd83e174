// Time comes in from outside, so that a test can hold it and a simulated year takes a second.

import { IdentityError } from './errors.ts';
import { clockToleranceMs } from './limits.ts';

export interface Clock {
  now(): Date;
}

/** Counts besides how much time passes, whatever is done to the time of day. It may stand still while the machine sleeps. */
export interface RunningClock extends Clock {
  elapsedMs(): number;
}

export const systemClock: RunningClock = { now: () => new Date(), elapsedMs: () => performance.now() };

/** This project did not exist before. */
const earliest = Date.UTC(2025, 0, 1);
/** What is made then ends in a year that certificates can hold: 9999 is the last (RFC 5280 4.1.2.5). */
const latest = Date.UTC(9980, 0, 1);

/**
 * For what is made with a date in it.
 * @throws CLOCK_WRONG for a time that cannot be the present.
 */
export function presentTime(clock: Pick<Clock, 'now'>): Date {
  const now = clock.now();
  if (now.getTime() >= earliest && now.getTime() < latest) return now;
  throw clockWrong(now);
}

export function clockWrong(now: Date): IdentityError {
  const said = Number.isNaN(now.getTime()) ? 'no date' : now.toISOString();
  return new IdentityError(
    'CLOCK_WRONG',
    `This machine's clock says ${said}, which cannot be right: set the clock. Nothing was made with that date.`,
  );
}

/** How long a time of day has to go on without a jump before a CA is made on its word, ms. */
export const steadyAfterMs = 10 * 60_000;

/** Whether the time of day can be believed: it has gone on with the time that passes since it was last set, or first seen. */
export class ClockWatch {
  readonly #clock: RunningClock;
  #since: { readonly wallMs: number; readonly elapsedMs: number };

  constructor(clock: RunningClock) {
    this.#clock = clock;
    this.#since = this.#read();
  }

  /** Sees only the jumps that have not been undone since the last look: look often. */
  isSteady(): boolean {
    const now = this.#read();
    const passedMs = now.elapsedMs - this.#since.elapsedMs;
    if (Math.abs(now.wallMs - this.#since.wallMs - passedMs) > clockToleranceMs) {
      this.#since = now;
      return false;
    }
    return passedMs >= steadyAfterMs;
  }

  #read() {
    return { wallMs: this.#clock.now().getTime(), elapsedMs: this.#clock.elapsedMs() };
  }
}
