// How many test files run at the same time. Most wait more than they work, so a further one starts while the processors are idle;
// beside other work, as few run as were asked for.

import { availableParallelism, cpus, freemem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Pace {
  /** Files that run even if the processors are busy. */
  readonly least: number;
  readonly most: number;
}

/** The effect of a file that has just started is awaited, ms. */
const lookMs = 500;
/** Share of all processors. */
const idleEnough = 0.2;
/** A browser needs about this much, bytes. */
const memoryEnough = 2 ** 30;

export const usualPace: Pace = { least: availableParallelism() + 2, most: 8 * availableParallelism() };

/** Runs `work` for each item, in order. @returns when all are done, or when the running ones are, after `stop`. */
export async function eachAtPace<T>(
  items: readonly T[],
  { least, most }: Pace,
  work: (item: T) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  const running = new Set<Promise<void>>();
  for (const item of items) {
    while (running.size >= least && !stop.aborted) {
      const idle = idleShare();
      await Promise.race([...running, sleep(lookMs)]);
      if (running.size < most && idle() >= idleEnough && freemem() >= memoryEnough) break;
    }
    if (stop.aborted) break;
    const run = work(item).finally(() => running.delete(run));
    running.add(run);
  }
  await Promise.all(running);
}

/** @returns the idle share of all processors since the call; 0 if too little time has passed. */
function idleShare(): () => number {
  const before = times();
  return () => {
    const { idle, all } = times();
    return all - before.all < (lookMs * cpus().length) / 2 ? 0 : (idle - before.idle) / (all - before.all);
  };
}

/** Of all processors, ms since they started. */
function times(): { readonly idle: number; readonly all: number } {
  let idle = 0;
  let all = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, all };
}
