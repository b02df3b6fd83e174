// Time is a parameter, so that a test can stop it and a simulated year takes a second.

import { IdentityError } from './errors.ts';
import { clockToleranceMs } from './limits.ts';

export interface Clock {
  now(): Date;
}

/** A clock that also counts elapsed time, whatever happens to the time of day. It may stop while the machine sleeps. */
export interface RunningClock extends Clock {
  elapsedMs(): number;
}

export const systemClock: RunningClock = { now: () => new Date(), elapsedMs: () => performance.now() };

/** This project did not exist before then. */
const earliest = Date.UTC(2025, 0, 1);
/** Certificates made then still end in a year that they can hold: 9999 is the last (RFC 5280 4.1.2.5). */
const latest = Date.UTC(9980, 0, 1);

/**
 * The time for creating anything that contains a date.
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
    `This machine's clock says ${said}, which cannot be right: set the clock. Nothing was created with that date.`,
  );
}

/** How long the time of day must run without a jump before a CA may be made by it, ms. */
export const steadyAfterMs = 10 * 60_000;

/**
 * Decides whether to trust the time of day: it must have run with the elapsed time since its last jump, or since the
 * start.
 */
export class ClockWatch {
  readonly #clock: RunningClock;
  #since: { readonly wallMs: number; readonly elapsedMs: number };

  constructor(clock: RunningClock) {
    this.#clock = clock;
    this.#since = this.#read();
  }

  /** Does not see a jump that was undone since the last call, so call it often. */
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
