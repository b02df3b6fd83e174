// How tests wait: for what happens, and never for ever. Who waits in vain is told for what.

import { setTimeout as sleep } from 'node:timers/promises';

/** Far more than anything takes on a slow and busy machine, and less than the runner gives a test. */
export const longestWaitMs = 60_000;

/** Looks until there is something, and returns it. For what tells nobody when it happens; see `within` for the rest. */
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

/** What the promise brings. @param what says for what it was, when it does not come. */
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
