// Waiting in tests: for an event, with a time limit, and an error that names the event.

import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than anything takes on a slow and busy machine, but shorter than the runner's limit for a test. */
export const longestWaitMs = 60_000;

/** The longest pause between two looks. */
const longestPauseMs = 100;

/**
 * Polls until there is a value, and returns it. Use it only without an event to wait for; otherwise use `within`. The longer it
 * waits, the more seldom it looks: a look may be a call of a daemon, and a wait may be for minutes of real time.
 */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<Exclude<T, Falsy>> {
  const startedAt = performance.now();
  for (;;) {
    const found = await look();
    if (found) return found as Exclude<T, Falsy>;
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > longestWaitMs) throw new Error(`waited in vain: ${what}`);
    await sleep(Math.min(Math.max(5, waitedMs / 10), longestPauseMs));
  }
}

type Falsy = false | 0 | 0n | '' | null | undefined;

/** The value of the promise. @param what names the awaited event in the error. */
export async function within<T>(what: string | (() => string), promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited in vain: ${typeof what === 'string' ? what : what()}`)),
      longestWaitMs,
    );
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
