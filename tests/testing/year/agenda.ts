// The simulated clock: a queue of coming events. Time jumps from one event to the next, and each event is over
// before the next begins.

import type { Clock } from '@palyra/identity/values';

interface Entry {
  readonly atMs: number;
  /** Events at the same time run in the order of insertion. */
  readonly order: number;
  readonly run: () => void | Promise<void>;
}

/** Far more events than one millisecond has in a correct run. */
const mostAtOnce = 10_000;

export class Agenda implements Clock {
  /** A binary heap, the next entry first. */
  readonly #heap: Entry[] = [];
  #nowMs: number;
  #order = 0;
  #sameTime = 0;

  constructor(startMs: number) {
    this.#nowMs = startMs;
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, run: Entry['run']): void {
    this.#order += 1;
    const entry = { atMs: this.#nowMs + Math.max(0, Math.ceil(ms)), order: this.#order, run };
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, entry)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** Runs everything up to this time, which becomes the current time. */
  async runUntil(ms: number): Promise<void> {
    for (let next = this.#heap[0]; next && next.atMs <= ms; next = this.#heap[0]) {
      this.#removeFirst();
      this.#sameTime = next.atMs === this.#nowMs ? this.#sameTime + 1 : 0;
      if (this.#sameTime > mostAtOnce) throw new Error('the simulated time does not go on');
      this.#nowMs = next.atMs;
      await next.run();
    }
    this.#nowMs = ms;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
