// Current problems of a daemon that keeps running despite them, for status, console and metrics.

import { IdentityError } from '@palyra/identity';
import type { DaemonPart } from '@palyra/rpc/admin';

export interface Problem {
  readonly part: DaemonPart;
  readonly error: IdentityError;
}

/** How long a caller waits for the store of the CA's keys, ms. A hanging token delays a caller no longer than this. */
const patienceMs = 1_000;

/** Checks on demand whether the CA's key signs. Simultaneous callers share one check. */
export class KeyWatch {
  readonly #check: () => Promise<void>;
  readonly #onLost: (problem: IdentityError) => void;
  #problem: IdentityError | undefined;
  #checkPending: Promise<void> | undefined;

  /**
   * @param check throws an IdentityError if the key does not sign.
   * @param onLost called once each time the key stops signing.
   */
  constructor(check: () => Promise<void>, onLost: (problem: IdentityError) => void) {
    this.#check = check;
    this.#onLost = onLost;
  }

  /** @returns why the key does not sign, or undefined if it does. While the check is late, the previous result. */
  async problem(): Promise<IdentityError | undefined> {
    this.#checkPending ??= this.#runCheck();
    await this.#checkPending;
    return this.#problem;
  }

  #runCheck(): Promise<void> {
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
        this.#checkPending = undefined;
      });
    return patience.promise;
  }
}

/** Adds for the operator how to switch QUIC off, in case the lack of QUIC is intended. */
export function withoutQuic(problem: IdentityError): IdentityError {
  return new IdentityError(
    problem.code,
    `${problem.message} Devices use HTTP/2 instead. If this is intended, set quic.enabled to false in config.json.`,
    { ...problem.fields, cause: problem },
  );
}
