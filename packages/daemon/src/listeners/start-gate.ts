// Connections that arrive during start-up wait until every listener is ready: a device is let in only once its revocation would
// be noticed.

import type { IdentityManager } from '@palyra/identity';
import type { DeviceAuthenticator } from '@palyra/rpc/transport';
import { daemonStops } from '../start/run.ts';

export class StartGate implements DeviceAuthenticator {
  readonly #identity: IdentityManager;
  readonly #opened = Promise.withResolvers<void>();

  constructor(identity: IdentityManager) {
    this.#identity = identity;
    // Waiting connections receive the rejection. There may be none.
    this.#opened.promise.catch(() => {});
  }

  open(): void {
    this.#opened.resolve();
  }

  /** Refuses all waiting connections. Has no effect once the gate is open. */
  shut(): void {
    this.#opened.reject(daemonStops());
  }

  admit(...asked: Parameters<DeviceAuthenticator['admit']>): ReturnType<DeviceAuthenticator['admit']> {
    return this.#opened.promise.then(() => this.#identity.admit(...asked));
  }

  authenticate(fingerprint: string): ReturnType<DeviceAuthenticator['authenticate']> {
    return this.#identity.authenticate(fingerprint);
  }

  get revocationEpoch(): number {
    return this.#identity.revocationEpoch;
  }

  upToDate(): Promise<void> | undefined {
    return this.#identity.upToDate();
  }

  get chainJudge(): DeviceAuthenticator['chainJudge'] {
    return this.#identity.chainJudge;
  }
}
