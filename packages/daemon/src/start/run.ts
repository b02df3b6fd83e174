// One run of a daemon, from the start attempt to its end: the facts that every part needs, and the steps that undo the parts.

import { IdentityError } from '@palyra/identity';
import { type RunningClock, systemClock } from '@palyra/identity/values';
import type { DaemonLog, LogOptions } from './log.ts';

export interface RunOptions {
  /** Default: the system clock. */
  readonly clock?: RunningClock;
  /** Called with errors for the log: bugs and failing disks. They never contain a secret. */
  readonly onError?: (error: unknown, where: string) => void;
  /** Writes the log, if the configuration or `log.level` asks for one. Errors then go there, and not to `onError`. */
  readonly log?: LogOptions;
}

export class Run {
  readonly clock: RunningClock;
  readonly onError: (error: unknown, where: string) => void;
  readonly startedAt: Date;
  /** Undefined until the configuration is known, and if nobody asks for a log. */
  log: DaemonLog | undefined;
  readonly #stopping = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  readonly #undo: (() => void | Promise<void>)[] = [];
  /** Keeps the files that the start has created in the home, even if the start fails. */
  mustKeep = false;
  /** Finds every obstacle to a start, once the configuration is known. */
  obstacles: () => Promise<IdentityError[]> = async () => [];

  constructor({ clock = systemClock, onError = () => {} }: RunOptions) {
    this.clock = clock;
    this.onError = (error, where) => (this.log ? this.log.error(error, where) : onError(error, where));
    this.startedAt = clock.now();
  }

  /** Aborts when the daemon begins to stop. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Ends endless calls with the reason that the daemon stops. */
  stop(): void {
    this.#stopping.abort(daemonStops());
  }

  /** Resolves when the daemon stops waiting for pending work, even for a signer that hangs. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  waitNoLonger(): void {
    this.#over.resolve();
  }

  /** @param step undoes what was just done. */
  undo(step: () => void | Promise<void>): void {
    this.#undo.push(step);
  }

  /** Undoes everything: last in, first out, each step at most once. A step that fails stops no other. @throws the first failure. */
  async unwind(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#undo.pop(); step; step = this.#undo.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

export const daemonStops = () => new IdentityError('UNREACHABLE', 'The daemon stops.');

/** Closes at once, after a failed start or a graceful close. */
export const atOnce = AbortSignal.abort();
