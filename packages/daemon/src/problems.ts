// What does not work at this moment while the daemon runs on without it: for operators, in status and console, and for the metrics.

import { IdentityError } from '@palyra/identity';
import type { DaemonPart } from '@palyra/rpc/admin';

export interface Problem {
  readonly part: DaemonPart;
  readonly error: IdentityError;
}

/** How long whoever asks waits for the place of the CA's keys, ms. A token that hangs holds nobody up for longer. */
const patienceMs = 1_000;

/** Whether the CA's key signs, asked whenever somebody wants to know, and once for all who want to know meanwhile. */
export class KeyWatch {
  readonly #check: () => Promise<void>;
  readonly #onLost: (problem: IdentityError) => void;
  #problem: IdentityError | undefined;
  #patience: Promise<void> | undefined;

  /**
   * @param check throws why the key does not sign.
   * @param onLost told once each time that it stops signing.
   */
  constructor(check: () => Promise<void>, onLost: (problem: IdentityError) => void) {
    this.#check = check;
    this.#onLost = onLost;
  }

  /** @returns why the key does not sign; undefined when it does. Until the place has answered, what it said before. */
  async problem(): Promise<IdentityError | undefined> {
    this.#patience ??= this.#ask();
    await this.#patience;
    return this.#problem;
  }

  #ask(): Promise<void> {
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, patienceMs);
    const learn = (problem: IdentityError | undefined) => {
      if (problem && !this.#problem) this.#onLost(problem);
      this.#problem = problem;
    };
    this.#check()
      .then(
        () => learn(undefined),
        (error) => {
          if (!(error instanceof IdentityError)) throw error;
          learn(error);
        },
      )
      .then(patience.resolve, patience.reject)
      .finally(() => {
        clearTimeout(timer);
        this.#patience = undefined;
      });
    return patience.promise;
  }
}

/** For the operator, who may want it so. */
export function withoutQuic(problem: IdentityError): IdentityError {
  return new IdentityError(
    problem.code,
    `${problem.message} Devices use HTTP/2 instead; if that is meant, set quic.enabled to false in config.json.`,
    { ...problem.fields, cause: problem },
  );
}
