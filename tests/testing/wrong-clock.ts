// A process that lives at another time: Debian's libfaketime, loaded before it.

import { globSync } from 'node:fs';

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1');

/** False, or what a test that needs it says when it is skipped. */
export const noWrongClock =
  library === undefined &&
  'NOT TESTED: a wrong clock in a process of its own needs libfaketime: sudo apt-get install faketime';

/** Environment of a process whose clock is off by so many days. */
export function clockOffByDays(days: number): Record<string, string> {
  return {
    LD_PRELOAD: library!,
    FAKETIME: `${days > 0 ? '+' : ''}${days}d`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}
