// A start leaves a tenth of the process's memory behind as garbage. V8 collects it only after the process has allocated as much
// again, which takes an idle one days.

import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const settledMs = 5_000;
/** Collecting a larger heap would stop the process for too long. A process with work collects by itself. */
const smallHeapBytes = 64 * 2 ** 20;

/** Collects it once, when the process has settled. @param afterMs from now. */
export function collectStartGarbage(afterMs: number = settledMs): void {
  setTimeout(() => {
    if (getHeapStatistics().used_heap_size > smallHeapBytes) return;
    // Node has no function for it, and V8 shows its own only to contexts that are made while this flag is set.
    setFlagsFromString('--expose-gc');
    const collect: NodeJS.GCFunction = runInNewContext('gc');
    setFlagsFromString('--no-expose-gc');
    // Other flavors keep the empty pages.
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, afterMs).unref();
}
