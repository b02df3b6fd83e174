// Reports devices that ask to pair with the daemon to an operator at this device.

import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type Transport } from '@connectrpc/connect';
import type { IdentityError } from '@palyra/identity/device';
import { AdminService, fromConnectError } from '@palyra/rpc';
import { type Pairing, PairingState } from '@palyra/rpc/admin';

export interface RequestWatchOptions {
  /** Called once for each request that waits for a decision. */
  readonly onRequest: (request: Pairing) => void;
  /** Called when the daemon refuses to show requests to this device: CALLER_NOT_ALLOWED without the operator role. */
  readonly onRefused: (error: IdentityError) => void;
}

/** Pause before the daemon is asked again, even after a refusal, because the role may be granted later. */
const retryMs = 60_000;
/** Remembered requests, so that none is reported twice. A daemon never has this many pending requests. */
const maxKnown = 4_096;

export class RequestWatch {
  readonly #options: RequestWatchOptions;
  readonly #known = new Set<string>();
  #isRefused = false;

  constructor(options: RequestWatchOptions) {
    this.#options = options;
  }

  /** Watches over one connection, until the signal is aborted. A new connection continues where this one ends. */
  async over(transport: Transport, signal: AbortSignal): Promise<void> {
    const admin = createClient(AdminService, transport);
    while (!signal.aborted) {
      try {
        for await (const pairing of admin.watchPairings({}, { signal })) {
          this.#isRefused = false;
          this.#take(pairing);
        }
      } catch (cause) {
        const error = fromConnectError(cause);
        if (error.code === 'CALLER_NOT_ALLOWED' && !this.#isRefused && !signal.aborted) {
          this.#isRefused = true;
          this.#options.onRefused(error);
        }
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  }

  #take(pairing: Pairing): void {
    const { id, state } = pairing;
    if (state !== PairingState.PENDING_APPROVAL || this.#known.has(id)) return;
    this.#known.add(id);
    if (this.#known.size > maxKnown) this.#known.delete(this.#known.values().next().value!);
    this.#options.onRequest(pairing);
  }
}
