// A daemon with every listener, in a separate process, with measurements of its resources by the system.

import { readdir } from 'node:fs/promises';
import tls from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import { awaitPairing, type PairedEnrollment, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { dialNode, dialPairing, NodeService, pairingPeer } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { type Credential, credentialOf } from './bare-tls.ts';
import { DaemonProcess } from './daemon-process.ts';
import { httpEndings, plainEndings, type Target, tlsEndings } from './endings.ts';
import { configure, makeHome, type PalyraOptions, type Scope } from './palyra-process.ts';
import { residentBytes } from './process-figures.ts';
import { makeDevice, type SampleDevice } from './sample-device.ts';
import { longestWaitMs } from './until.ts';

const quic = createQuic();

/** One connection, from its beginning to its end. */
export interface Ending {
  readonly listener: string;
  readonly name: string;
  run(from?: string): Promise<void>;
}

export class MeasuredDaemon {
  readonly process: DaemonProcess;
  readonly #addresses: ReadonlyMap<string, string>;

  static async start(
    scope: Scope,
    limits: object = {},
    options: Omit<PalyraOptions, 'home'> = {},
  ): Promise<MeasuredDaemon> {
    const home = await makeHome(scope);
    await configure(home, {
      metrics: { port: 0 },
      publish: { port: 0 },
      console: { port: 0 },
      limits: { opensPerMinutePerSource: 100_000, opensPerMinute: 100_000, liveCodes: 64, ...limits },
    });
    return new MeasuredDaemon(await DaemonProcess.start(scope, { home, ...options }));
  }

  private constructor(daemon: DaemonProcess) {
    this.process = daemon;
    const ready = daemon.process.lines.find(({ event }) => event === 'ready')!;
    this.#addresses = new Map(
      ready.listeners.map(({ name, address }: Record<string, string>) => [
        name,
        address!.replace(/^http:\/\//, '').replace(/\/metrics$/, ''),
      ]),
    );
  }

  address(listener: string): string {
    const found = this.#addresses.get(listener);
    if (found === undefined) throw new TypeError(`no listener ${listener}`);
    return found;
  }

  async pair(given?: SampleDevice): Promise<PairedEnrollment> {
    const device = given ?? (await makeDevice());
    const admin = await this.process.admin();
    const { code } = await admin.mintCode({});
    const address = this.address('pairing');
    const connection = await dialPairing(address);
    const peer = pairingPeer(connection);
    const pending = await requestPairing(device, peer, parsePairingCode(code), address);
    await admin.approvePairing({ id: pending.requestId });
    const paired = await awaitPairing(device, peer, pending, { signal: AbortSignal.timeout(longestWaitMs) });
    connection.close();
    return paired;
  }

  /** The number of connections of a listener, as the operator sees it. */
  async connections(listener: string): Promise<number> {
    const text = await (await fetch(`http://${this.address('metrics')}/metrics`)).text();
    const line = `palyra_connections{listener="${listener}"} `;
    return Number(
      text
        .split('\n')
        .find((each) => each.startsWith(line))
        ?.slice(line.length),
    );
  }

  /** Waits until the operator sees no connections of these listeners. @throws the counts of remaining connections. */
  async withoutConnections(...listeners: string[]): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      const counts = await Promise.all(listeners.map((each) => this.connections(each)));
      if (counts.every((count) => count === 0)) return;
      if (performance.now() > deadline) throw new Error(`connections that stay: ${listeners} ${counts}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Number of open sockets, files and pipes of the process. */
  async descriptors(): Promise<number> {
    return (await readdir(`/proc/${this.process.process.pid}/fd`)).length;
  }

  residentBytes(): Promise<number> {
    return residentBytes(this.process.process.pid!);
  }

  /** Waits until at most this many descriptors are open. @returns the number; larger after a timeout. */
  async settled(descriptors: number, patienceMs = 60_000): Promise<number> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const now = await this.descriptors();
      if (now <= descriptors || performance.now() > deadline) return now;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Every combination of listener and way to end a connection. */
  async endings(): Promise<Ending[]> {
    const paired = await this.pair();
    const device = tls.createSecureContext({ ...credentialOf(paired), minVersion: 'TLSv1.3' });
    const foreign = tls.createSecureContext({ ...(await foreignCredential()), minVersion: 'TLSv1.3' });
    const none = tls.createSecureContext({ minVersion: 'TLSv1.3' });
    const all: Ending[] = [];
    const add = (
      listener: string,
      kinds: Readonly<Record<string, (target: Target) => Promise<void>>>,
      target: Target,
      who = '',
    ) => {
      for (const [name, run] of Object.entries(kinds))
        all.push({
          listener,
          name: `${who}${name}`,
          run: (from) => run({ ...target, ...(from && { from }) }),
        });
    };
    add('pairing', tlsEndings, { address: this.address('pairing'), secureContext: none });
    const node = this.address('node');
    add('node', tlsEndings, { address: node, secureContext: device }, 'a device, ');
    const reset = tlsEndings['reset after the preface'];
    const inOrder = tlsEndings['closed in order'];
    add(
      'node',
      { 'reset after the preface': reset },
      { address: node, secureContext: foreign },
      'a foreign certificate, ',
    );
    // The daemon ends it before HTTP/2 begins.
    add('node', { 'closed in order': inOrder }, { address: node, secureContext: none }, 'no certificate, ');
    add('admin', plainEndings, { address: this.address('admin') });
    for (const listener of ['console', 'publish', 'metrics'])
      add(listener, httpEndings, { address: this.address(listener) });
    all.push(
      { listener: 'node', name: 'a call and an end', run: () => call(dialNode(paired.nodeAddress, paired)) },
      { listener: 'quic', name: 'a call and an end', run: () => call(dialNodeQuic(quic, paired)) },
      {
        listener: 'quic',
        name: 'closed at once',
        async run() {
          const connection = await dialNodeQuic(quic, paired);
          connection.destroy();
          await connection.closed;
        },
      },
    );
    return all.map((each) => ({ ...each, run: (from) => inTime(each, from) }));
  }
}

async function call(dialling: ReturnType<typeof dialNode> | ReturnType<typeof dialNodeQuic>): Promise<void> {
  const connection = await dialling;
  await createClient(NodeService, connection.transport).status({});
  connection.close();
  await connection.closed;
}

/** A credential of a foreign authority. */
async function foreignCredential(): Promise<Credential> {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const identity = await IdentityManager.open({ secrets: new MemorySecretStore(), registry });
  const { key, certificateChain } = await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  await registry.close();
  return { cert: certificatesToPem(certificateChain), key: key.toPem() };
}

const patienceMs = 120_000;

/** @throws on a timeout, so that a hanging connection is a failure and does not hang the run. */
async function inTime({ listener, name, run }: Ending, from?: string): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`${listener}, ${name}: not over after ${patienceMs} ms`)),
    patienceMs,
  );
  await Promise.race([run(from), promise]).finally(() => clearTimeout(timer));
}
