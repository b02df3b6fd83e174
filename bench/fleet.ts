// A daemon with a fleet in a process of its own, and its devices on their connections.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createClient } from '@connectrpc/connect';
import { MemorySecretStore } from '@palyra/identity';
import { DeviceIdentity, type PairedEnrollment, renewCertificate } from '@palyra/identity/device';
import type { RenewalReply } from '@palyra/identity/pairing';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { dialNode, NodeService } from '@palyra/rpc';
import { residentBytes } from '../tests/testing/process-figures.ts';
import type { FleetMember, FleetQuestion } from './fleet-server.ts';
import { quantile } from './measure.ts';
import { answerOf } from './server-process.ts';
import { TemporaryFolder } from './temporary-folder.ts';

const dialLanes = 32;

/** A device on its standing connection. It does not use the new certificates, so the next renewal can follow. */
export interface Live {
  readonly device: Parameters<typeof renewCertificate>[0];
  readonly renew: Parameters<typeof renewCertificate>[2];
  readonly call: () => Promise<unknown>;
  readonly close: () => void;
  /** The certificate of the connection. */
  readonly enrollment: PairedEnrollment;
  /** The latest certificate. */
  newest: PairedEnrollment;
}

/** The process of fleet-server.ts. */
export class FleetProcess {
  readonly #child: ChildProcess;
  readonly #folder: TemporaryFolder;
  readonly #members: readonly FleetMember[];

  /** @param env more variables for its environment. */
  static async start(devices: number, env: NodeJS.ProcessEnv = {}): Promise<FleetProcess> {
    const folder = await TemporaryFolder.make();
    const child = fork(new URL('./fleet-server.ts', import.meta.url), [folder.path, String(devices)], {
      serialization: 'advanced',
      execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
      env: { ...process.env, ...env },
    });
    const members: FleetMember[] = [];
    while (members.length < devices) members.push(...(await answerOf<FleetMember[]>(child)));
    return new FleetProcess(child, folder, members);
  }

  private constructor(child: ChildProcess, folder: TemporaryFolder, members: readonly FleetMember[]) {
    this.#child = child;
    this.#folder = folder;
    this.#members = members;
  }

  async ask(question: FleetQuestion): Promise<number> {
    const answer = answerOf<number>(this.#child);
    this.#child.send(question);
    return answer;
  }

  /** Resident memory now, with what no collection has freed yet. */
  residentBytes(): Promise<number> {
    return residentBytes(this.#child.pid!);
  }

  dialAll(lanes?: number): Promise<Live[]> {
    return dialAll(this.#members, lanes);
  }

  /** A connection of the device with this number. */
  dial(member: number): Promise<Live> {
    return dial(this.#members[member]!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) {
      const ended = once(this.#child, 'exit');
      this.#child.disconnect();
      await ended;
    }
    this.#folder[Symbol.dispose]();
  }
}

async function dialAll(members: readonly FleetMember[], lanes = dialLanes): Promise<Live[]> {
  const fleet: Live[] = [];
  const waiting = [...members];
  const lane = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const live = await dial(next);
      // The connection is established.
      await live.call();
      fleet.push(live);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return fleet;
}

async function dial({ identity: { name, secret }, enrollment }: FleetMember): Promise<Live> {
  const secrets = new MemorySecretStore();
  await secrets.write(name, secret);
  const device = { identity: await DeviceIdentity.load(secrets, nodeCrypto), secrets, clock: systemClock };
  const { transport, close } = await dialNode(enrollment.nodeAddress, enrollment);
  const node = createClient(NodeService, transport);
  return {
    device,
    renew: (proof) => node.renew(proof),
    call: () => node.status({}),
    close,
    enrollment,
    newest: enrollment,
  };
}

/**
 * Each device calls at its time. Keys and proofs are made before, and answers checked after, so that only calls run.
 */
export async function renewAll(
  fleet: readonly Live[],
  when: (live: Live, index: number) => number,
  { process: daemon, onBegin = () => {} }: { process: FleetProcess; onBegin?: () => void },
) {
  const begin = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const latenciesMs: number[] = [];
  const answeredAt: number[] = [];
  const plan = fleet.map(when);
  const firstMs = plan.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);
  let prepared = 0;
  const allPrepared = Promise.withResolvers<void>();
  const call = async (live: Live, at: number, proof: Parameters<Live['renew']>[0]): Promise<RenewalReply> => {
    prepared += 1;
    if (prepared === fleet.length) allPrepared.resolve();
    await begin.promise;
    if (at > firstMs) await new Promise((resolve) => setTimeout(resolve, at - firstMs));
    const started = performance.now();
    const reply = await live.renew(proof);
    answeredAt.push(performance.now());
    latenciesMs.push(performance.now() - started);
    if (answeredAt.length === fleet.length) end.resolve();
    await end.promise;
    return reply;
  };
  const renewals = fleet.map(async (live, index) => {
    live.newest = await renewCertificate(live.device, live.enrollment, (proof) =>
      call(live, plan[index]!, proof),
    );
  });
  // The first failure ends the run.
  const failed = Promise.all(renewals);
  await Promise.race([allPrepared.promise, failed]);
  const cpuBefore = await daemon.ask('cpu');
  const started = performance.now();
  begin.resolve();
  onBegin();
  await Promise.race([end.promise, failed]);
  const tookMs = performance.now() - started;
  const cpuMs = (await daemon.ask('cpu')) - cpuBefore;
  await failed;
  const seconds = new Map<number, number>();
  for (const at of answeredAt) {
    const second = Math.floor((at - started) / 1000);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  return { tookMs, cpuMs, latenciesMs, busiestSecond: quantile([...seconds.values()], 1) };
}

/** Calls at fixed times, from one device after another. @returns ends it, with the latencies since those times, ms. */
export function callSteadily(callers: readonly Live[], everyMs: number): () => Promise<number[]> {
  const began = performance.now();
  const answered: Promise<number>[] = [];
  let isOver = false;
  const calling = (async () => {
    for (let due = 0; !isOver; due += everyMs) {
      const wait = began + due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      const { call } = callers[answered.length % callers.length]!;
      answered.push(call().then(() => performance.now() - began - due));
    }
  })();
  return async () => {
    isOver = true;
    await calling;
    return Promise.all(answered);
  };
}
