// What comes due by the clock: expiries, new certificates.

import type { Run } from './run.ts';

const tickMs = 15_000;

export class Timers {
  readonly #work: () => Promise<void>;
  readonly #run: Run;
  readonly #timer: NodeJS.Timeout;
  #ticking: Promise<unknown> = Promise.resolve();

  /** Starts by itself. @param work does everything that is due. */
  constructor(work: () => Promise<void>, run: Run) {
    this.#work = work;
    this.#run = run;
    this.#timer = setInterval(() => {
      this.tick().catch((error) => run.onError(error, 'the periodic work'));
    }, tickMs);
    run.undo(() => this.stop());
  }

  /** Does what is due now. Nothing is due once the daemon stops. */
  tick(): Promise<void> {
    const done = this.#run.stopping.aborted ? Promise.resolve() : this.#work();
    this.#ticking = Promise.allSettled([this.#ticking, done]);
    return done;
  }

  /** Resolves when the work that has begun is done. Never rejects. */
  get settled(): Promise<unknown> {
    return this.#ticking;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
