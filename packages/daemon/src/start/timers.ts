// Work that the clock makes due: expiries and new certificates.

import type { Run } from './run.ts';

const tickMs = 15_000;

export class Timers {
  readonly #work: () => Promise<void>;
  readonly #run: Run;
  readonly #timer: NodeJS.Timeout;
  #ticking: Promise<unknown> = Promise.resolve();

  /** Starts the timer. @param work does everything that is due. */
  constructor(work: () => Promise<void>, run: Run) {
    this.#work = work;
    this.#run = run;
    this.#timer = setInterval(() => {
      this.tick().catch((error) => run.onError(error, 'the periodic work'));
    }, tickMs);
    run.undo(() => this.stop());
  }

  /** Does all work that is due now. Does nothing once the daemon stops. */
  tick(): Promise<void> {
    const done = this.#run.stopping.aborted ? Promise.resolve() : this.#work();
    this.#ticking = Promise.allSettled([this.#ticking, done]);
    return done;
  }

  /** Resolves when the current work is done. Never rejects. */
  get settled(): Promise<unknown> {
    return this.#ticking;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
