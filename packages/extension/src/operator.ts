// The requests of other devices, for a browser whose device is an operator: shown, announced, and decided here.

import { type Client, createClient, type Transport } from '@connectrpc/connect';
import {
  AdminService,
  Continuity,
  DeviceRole,
  deviceKinds,
  type Pairing,
  PairingState,
} from '@palyra/rpc/admin';
import { iconUrl } from './icon.ts';
import { problemOf } from './next-step.ts';
import type { Problem, RequestView } from './view.ts';

export class Operator {
  readonly #daemon: string;
  readonly #onChange: () => void;
  readonly #requests = new Map<string, RequestView>();
  #admin: Client<typeof AdminService> | undefined;
  #stop = new AbortController();
  #problem: Problem | undefined;

  constructor(daemon: string, onChange: () => void) {
    this.#daemon = daemon;
    this.#onChange = onChange;
  }

  get requests(): readonly RequestView[] {
    return [...this.#requests.values()];
  }

  get problem(): Problem | undefined {
    return this.#problem;
  }

  /** Watches the requests over a connection. */
  start(transport: Transport): void {
    this.stop();
    this.#admin = createClient(AdminService, transport);
    void this.#watch(this.#admin, this.#stop.signal);
  }

  stop(): void {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#admin = undefined;
    this.#problem = undefined;
    this.#requests.clear();
    this.#onChange();
  }

  /** @param seen what the person saw: a request that has changed since is not approved. */
  async approve(id: string, seen: { readonly words: string; readonly role: DeviceRole }): Promise<void> {
    this.#learn(await this.#client().approvePairing({ id, seen }));
  }

  async reject(id: string): Promise<void> {
    this.#learn(await this.#client().rejectPairing({ id }));
  }

  #client(): Client<typeof AdminService> {
    if (!this.#admin) throw new Error('This browser is not connected now. Try again when it is.');
    return this.#admin;
  }

  async #watch(admin: Client<typeof AdminService>, signal: AbortSignal): Promise<void> {
    try {
      for await (const pairing of admin.watchPairings({}, { signal })) this.#learn(pairing);
    } catch (error) {
      if (signal.aborted) return;
      this.#problem = problemOf(error);
    }
    this.#requests.clear();
    this.#onChange();
  }

  #learn(pairing: Pairing): void {
    const { id, device } = pairing;
    const notice = `request/${id}`;
    if (pairing.state === PairingState.PENDING_APPROVAL && device) {
      const request = requestOf(pairing, device);
      if (this.#requests.get(id)?.words !== request.words)
        void chrome.notifications.create(notice, {
          type: 'basic',
          iconUrl,
          title: `${request.name} asks to be paired`,
          message: `Its words: ${request.words}. Click to compare them and to decide.`,
          contextMessage: this.#daemon,
        });
      this.#requests.set(id, request);
    } else if (this.#requests.delete(id)) void chrome.notifications.clear(notice);
    this.#onChange();
  }
}

function requestOf(pairing: Pairing, device: NonNullable<Pairing['device']>): RequestView {
  return {
    id: pairing.id,
    name: device.name,
    kind: deviceKinds.fromWire(device.kind) ?? 'unknown',
    platform: device.platform,
    source: device.source,
    words: device.words,
    role: device.role,
    isOperator: device.role === DeviceRole.OPERATOR,
    elsewhere: elsewhereFor(device.continuity),
    failedGuesses: pairing.failedGuesses,
  };
}

/** A popup is no place for decisions that replace something. */
function elsewhereFor(continuity: Continuity): string {
  if (continuity === Continuity.NEW || continuity === Continuity.KNOWN) return '';
  return 'The daemon knows this id with another key. Decide in the console, which shows both keys.';
}
