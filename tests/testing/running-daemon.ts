// A real daemon with its own home, real sockets and real files. Everything is closed and removed at the end of the
// test.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Client, createClient } from '@connectrpc/connect';
import { type DaemonConfigInput, type OwnService, type RunningDaemon, startDaemon } from '@palyra/daemon';
import { IdentityError } from '@palyra/identity';
import type { PairedEnrollment, PairingPeer, PendingEnrollment } from '@palyra/identity/device';
import type { PairingState, RegistryEvent } from '@palyra/identity/registry';
import type { RunningClock } from '@palyra/identity/values';
import { AdminService, dialAdmin, dialNode, dialPairing, NodeService, pairingPeer } from '@palyra/rpc';
import { temporaryFolder } from './temporary-folder.ts';
import { within } from './until.ts';

export interface TestDaemonOptions {
  readonly clock?: RunningClock;
  readonly limits?: DaemonConfigInput['limits'];
  readonly trustDomain?: string;
  /** Default: free ports. */
  readonly ports?: { readonly pairing: number; readonly node: number };
  /** The address of all listeners. Default: 127.0.0.1. */
  readonly host?: string;
  readonly endpoints?: DaemonConfigInput['endpoints'];
  /** Off when absent. */
  readonly console?: DaemonConfigInput['console'];
  readonly notice?: DaemonConfigInput['notice'];
  readonly publish?: DaemonConfigInput['publish'];
  readonly metrics?: DaemonConfigInput['metrics'];
  readonly traces?: DaemonConfigInput['traces'];
  readonly backup?: DaemonConfigInput['backup'];
  readonly web?: DaemonConfigInput['web'];
  readonly cloning?: DaemonConfigInput['cloning'];
  readonly capabilities?: DaemonConfigInput['capabilities'];
  readonly names?: DaemonConfigInput['names'];
  readonly registry?: DaemonConfigInput['registry'];
  readonly masterKey?: DaemonConfigInput['masterKey'];
  readonly caKey?: DaemonConfigInput['caKey'];
  readonly services?: readonly OwnService[];
  /** Called in addition to recording in `events`. */
  readonly onEvent?: (event: RegistryEvent) => void;
  /** Replaces the final check that there was no error. */
  readonly onError?: (error: unknown, where: string) => void;
  /** The home of an earlier daemon; default: a new one. */
  readonly home?: string;
}

export class TestDaemon {
  readonly running: RunningDaemon;
  readonly home: string;
  readonly admin: Client<typeof AdminService>;
  /** All events of the registry, oldest first. */
  readonly events: RegistryEvent[];
  readonly #connections: { close(): void; readonly closed: Promise<unknown> }[];
  readonly #problems: unknown[];
  readonly #listeners: Set<() => void>;
  #stopped = false;

  static async start(t: TestContext, options: TestDaemonOptions = {}): Promise<TestDaemon> {
    const { home = temporaryFolder(), host = '127.0.0.1' } = options;
    const events: RegistryEvent[] = [];
    const problems: unknown[] = [];
    const listeners = new Set<() => void>();
    const running = await startDaemon({
      home,
      config: {
        pairing: { host, port: options.ports?.pairing ?? 0 },
        node: { host, port: options.ports?.node ?? 0 },
        quic: { host },
        endpoints: options.endpoints,
        announce: false,
        console: options.console ?? { enabled: false },
        notice: options.notice,
        publish: options.publish,
        metrics: options.metrics,
        traces: options.traces,
        backup: options.backup,
        web: options.web,
        cloning: options.cloning,
        capabilities: options.capabilities,
        names: options.names,
        registry: options.registry,
        masterKey: options.masterKey,
        caKey: options.caKey,
        // Only the tests of this limit may reach it.
        limits: {
          opensPerMinutePerSource: 10_000,
          opensPerMinute: 10_000,
          stopGraceMs: 1_000,
          ...options.limits,
        },
        ...(options.trustDomain !== undefined && { trustDomain: options.trustDomain }),
      },
      ...(options.clock && { clock: options.clock }),
      ...(options.services && { services: options.services }),
      onEvent: (event) => {
        events.push(event);
        for (const listener of listeners) listener();
        return options.onEvent?.(event);
      },
      // An error with one of our codes was reported to the person concerned: a full disk is not a bug.
      onError:
        options.onError ??
        ((error) => {
          if (!(error instanceof IdentityError)) problems.push(error);
        }),
    });
    const admin = await dialAdmin(join(home, 'daemon', 'admin.sock'));
    const daemon = new TestDaemon(running, home, admin, events, problems, listeners);
    t.after(() => daemon.stop());
    return daemon;
  }

  /** URL of its channels. */
  get webAddress(): string {
    return (
      this.running.listeners.find(({ name }) => name === 'web')?.address ?? assert.fail('no web listener')
    );
  }

  private constructor(
    running: RunningDaemon,
    home: string,
    admin: Awaited<ReturnType<typeof dialAdmin>>,
    events: RegistryEvent[],
    problems: unknown[],
    listeners: Set<() => void>,
  ) {
    this.running = running;
    this.home = home;
    this.admin = createClient(AdminService, admin.transport);
    this.events = events;
    this.#connections = [admin];
    this.#problems = problems;
    this.#listeners = listeners;
  }

  get pairingAddress(): string {
    return this.running.pairingAddress;
  }

  get nodeAddress(): string {
    return this.running.listeners.find((each) => each.name === 'node')!.address;
  }

  get trustBundle(): readonly Uint8Array[] {
    return this.running.identity.trustBundle;
  }

  /**
   * One TLS channel to the pairing listener.
   * @param known the device's pins. The identity of the daemon is not checked by TLS here, because TLS uses the real
   *   clock.
   */
  async peer(known?: PendingEnrollment): Promise<PairingPeer & { close(): void }> {
    const connection = { ...(await dialPairing(this.pairingAddress)), isKnownDaemon: known !== undefined };
    this.closeAtEnd(connection);
    return { ...pairingPeer(connection), close: () => connection.close() };
  }

  /** One connection to the node listener. */
  async node(
    enrollment: PairedEnrollment,
  ): Promise<Client<typeof NodeService> & { readonly closed: Promise<unknown>; close(): void }> {
    const connection = await dialNode(this.nodeAddress, enrollment);
    this.closeAtEnd(connection);
    const client = createClient(NodeService, connection.transport);
    return Object.assign(client, { closed: connection.closed, close: () => connection.close() });
  }

  closeAtEnd(connection: { close(): void; readonly closed: Promise<unknown> }): void {
    this.#connections.push(connection);
  }

  /** Resolves when this event has been reported, now or earlier. */
  async told(what: (event: RegistryEvent) => boolean): Promise<void> {
    if (this.events.some(what)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (this.events.some(what)) resolve();
    };
    this.#listeners.add(look);
    await within(() => `an event after ${this.events.at(-1)?.type}`, promise);
    this.#listeners.delete(look);
  }

  /** The states of a pairing so far, each once. */
  statesOf(pairingId: string): PairingState[] {
    const states: PairingState[] = [];
    for (const event of this.events) {
      if (event.type !== 'pairing_changed' || event.pairing.id !== pairingId) continue;
      if (states.at(-1) !== event.pairing.state) states.push(event.pairing.state);
    }
    return states;
  }

  /** Stops the daemon, and fails the test if the daemon had an internal error that no peer received. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const connection of this.#connections) connection.close();
    await this.running.close();
    await Promise.all(this.#connections.map((each) => each.closed));
    assert.deepEqual(this.#problems, [], 'the daemon met errors that are bugs');
  }
}
