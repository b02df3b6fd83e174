// A daemon in a separate process, started by the command, so that a test can kill it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type Client, createClient } from '@connectrpc/connect';
import type { PairedEnrollment, PairingPeer, PendingEnrollment } from '@palyra/identity/device';
import { AdminService, dialAdmin, dialNode, dialPairing, NodeService, pairingPeer } from '@palyra/rpc';
import { type Ended, type Line, type PalyraOptions, PalyraProcess, type Scope } from './palyra-process.ts';

export class DaemonProcess {
  readonly home: string;
  readonly daemonId: string;
  readonly trustDomain: string;
  readonly rootFingerprint: string;
  readonly pairingAddress: string;
  readonly nodeAddress: string;
  /** URL of its channels, where its configuration has a port for them. */
  readonly webAddress: string;
  /** Empty if it does not serve QUIC. */
  readonly quicAddress: string;
  readonly process: PalyraProcess;
  readonly #connections = new Set<{ close(): void }>();
  #admin: Promise<Client<typeof AdminService>> | undefined;

  /** Starts the daemon, which ends at the latest with the scope. */
  static async start(scope: Scope, options: PalyraOptions): Promise<DaemonProcess> {
    const started = PalyraProcess.start(['daemon'], options);
    scope.after(async () => void (await started.end('SIGKILL')));
    const ready = await started.line(({ event }) => event === 'ready');
    return new DaemonProcess(options.home, started, ready);
  }

  private constructor(home: string, started: PalyraProcess, ready: Line) {
    this.home = home;
    this.process = started;
    this.daemonId = ready.daemon_id;
    this.trustDomain = ready.trust_domain;
    this.rootFingerprint = ready.root_fingerprint;
    const addresses = new Map<string, string>(
      ready.listeners.map(({ name, address }: Record<string, string>) => [name, address]),
    );
    this.pairingAddress = addresses.get('pairing')!;
    this.nodeAddress = addresses.get('node')!;
    this.webAddress = addresses.get('web') ?? '';
    this.quicAddress = addresses.get('quic') ?? '';
  }

  admin(): Promise<Client<typeof AdminService>> {
    this.#admin ??= dialAdmin(join(this.home, 'daemon', 'admin.sock')).then((connection) => {
      this.#connections.add(connection);
      return createClient(AdminService, connection.transport);
    });
    return this.#admin;
  }

  /** One TLS channel to the pairing listener. @param known the device's pins, as in `TestDaemon`. */
  async peer(known?: PendingEnrollment): Promise<PairingPeer> {
    const connection = { ...(await dialPairing(this.pairingAddress)), isKnownDaemon: known !== undefined };
    this.#connections.add(connection);
    return pairingPeer(connection);
  }

  /** One connection to the node listener. */
  async node(enrollment: PairedEnrollment): Promise<Client<typeof NodeService>> {
    const connection = await dialNode(this.nodeAddress, enrollment);
    this.#connections.add(connection);
    return createClient(NodeService, connection.transport);
  }

  /** Kills it with SIGKILL. */
  async kill(): Promise<void> {
    const { signal } = await this.process.end('SIGKILL');
    assert.equal(signal, 'SIGKILL');
    this.#hangUp();
  }

  /** Stops it with SIGINT, like Ctrl-C. */
  async stop(): Promise<Ended> {
    this.#hangUp();
    const ended = await this.process.end('SIGINT');
    assert.equal(ended.exitCode, 0, `${ended.stdout}${ended.stderr}`);
    return ended;
  }

  #hangUp(): void {
    for (const connection of this.#connections) connection.close();
  }
}
