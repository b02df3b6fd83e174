// Time comes in from outside, so that a test can hold it and a simulated year takes a second.

import { IdentityError } from './errors.ts';

export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

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
