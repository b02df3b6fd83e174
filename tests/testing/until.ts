// Waiting in tests: for an event, with a time limit, and an error that names the event.

import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than anything takes on a slow and busy machine, but shorter than the runner's limit for a test. */
export const longestWaitMs = 60_000;

/** Polls until there is a value, and returns it. Use it only without an event to wait for; otherwise use `within`. */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<Exclude<T, Falsy>> {
  const startedAt = performance.now();
  for (;;) {
    const found = await look();
    if (found) return found as Exclude<T, Falsy>;
    if (performance.now() - startedAt > longestWaitMs) throw new Error(`waited in vain: ${what}`);
    await sleep(5);
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
