// A daemon under attack, in a separate process. Meanwhile a paired device calls over both transports, on standing and
// new connections, and the daemon's memory is measured.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { awaitPairing, type PairedEnrollment, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { DaemonProcess } from './daemon-process.ts';
import { fileScope } from './file-scope.ts';
import { configure, makeHome, type Scope } from './palyra-process.ts';
import { residentBytes } from './process-figures.ts';
import { makeDevice } from './sample-device.ts';
import { longestWaitMs } from './until.ts';

export const quic = createQuic();
export const strangersPerSource = 20;
const mib = 2 ** 20;
/** Allowed growth of the daemon in one test: far less than the data sent. */
const growthBytes = 128 * mib;
/** Time limit for a call of the good device. */
const callTimeoutMs = 20_000;

export class Target {
  readonly daemon: DaemonProcess;
  /** Of its memory before the first attack: the growth of all attacks counts. */
  residentAtFirst: number | undefined;
  /** It is under attack, or an attack has failed. */
  isHurt = false;
  readonly #metricsUrl: string;

  static async start(t: Scope, limits: object = {}): Promise<Target> {
    const home = await makeHome(t);
    await configure(home, {
      quic: { host: '127.0.0.1' },
      metrics: { port: 0 },
      limits: { strangersPerSource, handshakeTimeoutMs: 4_000, opensPerMinutePerSource: 1_000, ...limits },
    });
    return new Target(await DaemonProcess.start(t, { home }));
  }

  private constructor(daemon: DaemonProcess) {
    this.daemon = daemon;
    const ready = daemon.process.lines.find(({ event }) => event === 'ready')!;
    this.#metricsUrl = ready.listeners.find(({ name }: { name: string }) => name === 'metrics').address;
  }

  async pair(): Promise<PairedEnrollment> {
    const device = await makeDevice();
    const admin = await this.daemon.admin();
    const { code } = await admin.mintCode({});
    const peer = await this.daemon.peer();
    const pending = await requestPairing(device, peer, parsePairingCode(code), this.daemon.pairingAddress);
    await admin.approvePairing({ id: pending.requestId });
    return awaitPairing(device, peer, pending, { signal: AbortSignal.timeout(longestWaitMs) });
  }

  /** A counter in the operator's metrics. */
  async count(listener: string, event: string): Promise<number> {
    const [count] = await this.counts(listener, [event]);
    return count!;
  }

  async counts(listener: string, events: readonly string[]): Promise<number[]> {
    const text = await (await fetch(this.#metricsUrl)).text();
    return events.map((event) => {
      const line = `palyra_listener_events_total{listener="${listener}",event="${event}"} `;
      const found = text.split('\n').find((each) => each.startsWith(line));
      return found ? Number(found.slice(line.length)) : 0;
    });
  }

  /** Datagrams received over QUIC. */
  async datagrams(): Promise<number> {
    const text = await (await fetch(this.#metricsUrl)).text();
    return Number(/^palyra_quic_received_total\{what="datagrams"\} (\d+)$/m.exec(text)?.[1]);
  }

  residentBytes(): Promise<number> {
    return residentBytes(this.daemon.process.pid!);
  }
}

/** One daemon for the attacks of a file. After a failed test, the next one gets a new daemon. */
export function sharedTarget(limits: object = {}): () => Promise<Target> {
  const scope = fileScope();
  let shared: Target | undefined;
  return async () => {
    if (!shared || shared.isHurt) shared = await Target.start(scope, limits);
    return shared;
  };
}

/** A paired device that makes ordinary calls, and notices if one fails. */
class GoodDevice {
  readonly #enrollment: PairedEnrollment;
  readonly #standing: readonly NodeConnection[];
  #over = false;
  #calls = 0;
  readonly #lanes: Promise<unknown>;

  static async of(t: TestContext, enrollment: PairedEnrollment): Promise<GoodDevice> {
    const good = new GoodDevice(enrollment, await bothTransports(enrollment));
    t.after(() => good.#stop());
    return good;
  }

  private constructor(enrollment: PairedEnrollment, standing: readonly NodeConnection[]) {
    this.#enrollment = enrollment;
    this.#standing = standing;
    this.#lanes = Promise.all([...standing.map((each) => this.#use(each)), this.#comeAnew()]);
    this.#lanes.catch(() => {});
  }

  /** @throws the error of its first failed call. */
  async done(): Promise<void> {
    this.#over = true;
    await this.#lanes;
    this.#stop();
    assert.ok(this.#calls >= 4);
  }

  #stop(): void {
    this.#over = true;
    for (const each of this.#standing) each.close();
  }

  async #use({ transport }: NodeConnection): Promise<void> {
    const node = createClient(NodeService, transport);
    do {
      await node.status({}, { timeoutMs: callTimeoutMs });
      this.#calls += 1;
      await pause(100);
    } while (!this.#over);
  }

  async #comeAnew(): Promise<void> {
    do {
      for (const connection of await bothTransports(this.#enrollment)) {
        await createClient(NodeService, connection.transport).status({}, { timeoutMs: callTimeoutMs });
        this.#calls += 1;
        connection.close();
      }
      await pause(500);
    } while (!this.#over);
  }
}

export const bothTransports = async (enrollment: PairedEnrollment): Promise<NodeConnection[]> => [
  await dialNode(enrollment.nodeAddress, enrollment),
  await dialNodeQuic(quic, enrollment),
];

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs the attack while a good device works, and checks that device again afterwards; measures the daemon's memory. */
export async function underAttack(
  t: TestContext,
  target: Target,
  attack: () => Promise<void>,
): Promise<void> {
  target.isHurt = true;
  const enrollment = await target.pair();
  const good = await GoodDevice.of(t, enrollment);
  target.residentAtFirst ??= await target.residentBytes();
  const before = target.residentAtFirst;
  let most = await target.residentBytes();
  const watch = setInterval(async () => {
    most = Math.max(most, await target.residentBytes().catch(() => 0));
  }, 100);
  try {
    await attack();
    most = Math.max(most, await target.residentBytes());
  } finally {
    clearInterval(watch);
  }
  await good.done();
  await (await GoodDevice.of(t, enrollment)).done();
  t.diagnostic(`grew by ${((most - before) / mib).toFixed(1)} MiB, from ${(before / mib).toFixed(0)} MiB`);
  assert.ok(most - before < growthBytes, `grew by ${most - before} bytes`);
  target.isHurt = false;
}
