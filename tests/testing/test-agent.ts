// An agent in this process, with its states.

import type { TestContext } from 'node:test';
import {
  type AgentState,
  builtInCapabilities,
  type Capability,
  quicFirst,
  RequestWatch,
  type RequestWatchOptions,
  runAgent,
} from '@palyra/agent';
import { type IdentityError, MemorySecretStore } from '@palyra/identity';
import { type PairedEnrollment, storeEndpointsByHand, storeEnrollment } from '@palyra/identity/device';
import { dialPairing, type NodeConnection, reachNode } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { dialNodeWeb } from '@palyra/transport-websocket';
import type { SampleDevice } from './sample-device.ts';
import { within } from './until.ts';

export const quic = createQuic();
export const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
export const parsed = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

/** The secrets of a device that knows these endpoints by hand. An agent goes by what is stored. */
async function secretsWith({ byHand, ...enrollment }: PairedEnrollment): Promise<MemorySecretStore> {
  const secrets = new MemorySecretStore();
  await storeEnrollment(secrets, enrollment);
  const set = Object.entries(byHand ?? {}).filter(([, list]) => list.length > 0);
  await storeEndpointsByHand(secrets, enrollment.root, Object.fromEntries(set));
  return secrets;
}

export class TestAgent {
  readonly states: AgentState[] = [];
  readonly connections: NodeConnection[] = [];
  /** Resolves with the reason when the agent has ended. */
  readonly ended: Promise<IdentityError | undefined>;
  readonly #stop = new AbortController();
  readonly #watchers = new Set<() => void>();

  constructor(
    t: TestContext,
    device: SampleDevice,
    enrollment: PairedEnrollment,
    options: {
      transport?: 'http2' | 'quic' | 'websocket';
      capabilities?: Record<string, Capability>;
      retryMs?: number;
      requests?: RequestWatchOptions;
    } = {},
  ) {
    const http2 = (e: PairedEnrollment) => reachNode(e);
    const dial =
      options.transport === 'http2'
        ? http2
        : options.transport === 'websocket'
          ? (e: PairedEnrollment) => dialNodeWeb(e)
          : quicFirst((e, options) => dialNodeQuic(quic, e, options), http2);
    const run = async (enrollment: PairedEnrollment) =>
      runAgent({
        device: { ...device, secrets: enrollment.byHand ? await secretsWith(enrollment) : device.secrets },
        enrollment,
        dial: async (e) => {
          const connection = await dial(e);
          this.connections.push(connection);
          return connection;
        },
        dialRecovery: (e) => dialPairing(e.address, e),
        capabilities: new Map([...builtInCapabilities, ...Object.entries(options.capabilities ?? {})]),
        platform: 'linux x64',
        signal: this.#stop.signal,
        retryMs: options.retryMs ?? 20,
        ...(options.requests && { beside: new RequestWatch(options.requests) }),
        onState: (state) => {
          this.states.push(state);
          for (const watcher of this.#watchers) watcher();
        },
      });
    this.ended = run(enrollment).then(
      () => undefined,
      (error) => error,
    );
    t.after(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  /** Where its last connection went. */
  get address(): string | undefined {
    return this.connections.at(-1)?.address;
  }

  /** Resolves when it has connected this often. */
  async connected(times = 1): Promise<void> {
    await this.until((states) => states.filter((each) => each.state === 'connected').length >= times);
  }

  async until(enough: (states: readonly AgentState[]) => boolean): Promise<void> {
    while (!enough(this.states)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#watchers.add(resolve);
      await within(() => `another state than ${JSON.stringify(this.states.at(-1))}`, promise);
      this.#watchers.delete(resolve);
    }
  }
}
