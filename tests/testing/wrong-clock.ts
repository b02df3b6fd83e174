// Runs a process with a wrong clock, by Debian's libfaketime.

import { globSync } from 'node:fs';

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');

/** The reason to skip a test that needs it; false if it can run. */
export const noWrongClock =
  library === undefined &&
  'NOT TESTED: a wrong clock in a process of its own needs libfaketime: sudo apt-get install faketime';

/** Environment of a process whose clock is off by this many days. */
export function clockOffByDays(days: number): Record<string, string> {
  return {
    LD_PRELOAD: library!,
    FAKETIME: `${days > 0 ? '+' : ''}${days}d`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}
