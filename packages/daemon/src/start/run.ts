// One run of a daemon, from the attempt to start it to its end: what every part needs to know, and how to undo the parts.

import { IdentityError } from '@palyra/identity';
import { type RunningClock, systemClock } from '@palyra/identity/values';

export interface RunOptions {
  /** Default: the system's. */
  readonly clock?: RunningClock;
  /** Told of errors that are bugs or failing disks, for the log. Never holds a secret. */
  readonly onError?: (error: unknown, where: string) => void;
}

export class Run {
  readonly clock: RunningClock;
  readonly onError: (error: unknown, where: string) => void;
  readonly startedAt: Date;
  readonly #stopping = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  readonly #undo: (() => void | Promise<void>)[] = [];
  /** What the start has made in the home stays there, even if the start fails. */
  mustKeep = false;
  /** Everything that stands in the way of a start, once the configuration is known. */
  obstacles: () => Promise<IdentityError[]> = async () => [];

  constructor({ clock = systemClock, onError = () => {} }: RunOptions) {
    this.clock = clock;
    this.onError = onError;
    this.startedAt = clock.now();
  }

  /** Aborts when the daemon begins to stop. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Calls that would go on for ever end with this reason. */
  stop(): void {
    this.#stopping.abort(daemonStops());
  }

  /** Resolves when the daemon waits for nothing any more, not even for a signer that hangs. */
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

/** For closing what a failed start leaves, or what has been closed before. */
export const atOnce = AbortSignal.abort();
