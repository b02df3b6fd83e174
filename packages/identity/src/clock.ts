// Time comes in from outside, so that a test can hold it and a simulated year takes a second.

export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };
