// renew.*: a whole fleet that renews at the same time, or at times that the daemon asks for.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createClient } from '@connectrpc/connect';
import { MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  DeviceIdentity,
  type PairedEnrollment,
  renewalTime,
  renewCertificate,
} from '@palyra/identity/device';
import type { RenewalReply } from '@palyra/identity/pairing';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { dialNode, NodeService } from '@palyra/rpc';
import type { FleetMember, FleetQuestion } from './fleet-server.ts';
import { type Figures, type Progress, quantile } from './measure.ts';
import { answerOf } from './server-process.ts';
import { TemporaryFolder } from './temporary-folder.ts';

/** Each device has a connection. Dialling them takes minutes, and each side needs more than a gigabyte. */
const devices = 10_000;
/** Renewals of each device in the storm. */
const times = 1;
const dialLanes = 32;
/** The life of a certificate is compressed to this time for renewals at their due times. */
const dayMs = 120_000;
const mib = 2 ** 20;

/** A device on its standing connection. It does not use the new certificates, so the next renewal can follow. */
interface Live {
  readonly device: Parameters<typeof renewCertificate>[0];
  readonly renew: Parameters<typeof renewCertificate>[2];
  readonly close: () => void;
  /** The certificate of the connection. */
  readonly enrollment: PairedEnrollment;
  /** The latest certificate. */
  newest: PairedEnrollment;
}

export async function renew(progress: Progress): Promise<Figures> {
  progress(`a daemon with ${devices} paired devices`);
  using folder = await TemporaryFolder.make();
  const child = fork(new URL('./fleet-server.ts', import.meta.url), [folder.path, String(devices)], {
    serialization: 'advanced',
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
  });
  const members: FleetMember[] = [];
  while (members.length < devices) members.push(...(await answerOf<FleetMember[]>(child)));
  const raw = await ask(child, 'raw');
  const idle = await ask(child, 'memory');
  progress(`${devices} connections`);
  const fleet = await dialAll(members);
  const connected = await ask(child, 'memory');

  progress(`all of them renew at once, ${times} times each`);
  const storm = await renewAll(Array.from({ length: times }, () => fleet).flat(), () => 0, child);
  const afterwards = await ask(child, 'memory');
  progress('all of them renew when the daemon asked for it');
  const asked = await renewAll(fleet, ({ newest }) => due(newest), child);
  progress('all of them renew at times of their own');
  const own = await renewAll(fleet, ({ newest }) => due({ ...newest, renewAfterMs: 0 }), child);

  for (const { close } of fleet) close();
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
  const renewals = devices * times;
  const perSecond = (renewals * 1000) / storm.tookMs;
  return {
    'renew.storm': {
      value: perSecond / raw,
      unit: 'ratio',
      meaning:
        `Renewals per second when ${renewals} come at the same moment, ${times} from each of ${devices} devices, over the ` +
        'raw limit of one P-256 signature and one verification each. One daemon process, HTTP/2, one standing connection ' +
        'per device, a second process as all the devices. A latency counts from that moment. A renewal also verifies an Ed25519 signature, writes and reads ' +
        'eight rows that are durable before it is answered, and is a gRPC call: each takes as long as the signatures.',
      parts: {
        renewals_per_second: perSecond,
        raw_per_second: raw,
        p50_ms: quantile(storm.latenciesMs, 0.5),
        p99_ms: quantile(storm.latenciesMs, 0.99),
        daemon_processor_us: (storm.cpuMs * 1000) / renewals,
        daemon_mib_without_connections: idle / mib,
        daemon_mib_connected: connected / mib,
        daemon_mib_after: afterwards / mib,
      },
    },
    'renew.asked_p99_ms': {
      value: quantile(asked.latenciesMs, 0.99),
      unit: 'ms',
      meaning:
        'The same fleet afterwards, each device when the daemon asked for it, and then each at a time of its own (60 to ' +
        `67 % of life), with a day that passes in ${dayMs / 1000} s. A latency counts from the call.`,
      parts: {
        asked_p50_ms: quantile(asked.latenciesMs, 0.5),
        asked_busiest_second: asked.busiestSecond,
        own_p50_ms: quantile(own.latenciesMs, 0.5),
        own_p99_ms: quantile(own.latenciesMs, 0.99),
        own_busiest_second: own.busiestSecond,
      },
    },
  };
}

async function ask(child: ChildProcess, question: FleetQuestion): Promise<number> {
  const answer = answerOf<number>(child);
  child.send(question);
  return answer;
}

async function dialAll(members: readonly FleetMember[]): Promise<Live[]> {
  const fleet: Live[] = [];
  const waiting = [...members];
  const lane = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { identity, enrollment } = next;
      const secrets = new MemorySecretStore();
      await secrets.write(identity.name, identity.secret);
      const device = {
        identity: await DeviceIdentity.load(secrets, nodeCrypto),
        secrets,
        clock: systemClock,
      };
      const { transport, close } = await dialNode(enrollment.nodeAddress, enrollment);
      const node = createClient(NodeService, transport);
      // The connection is established.
      await node.status({});
      fleet.push({ device, renew: (proof) => node.renew(proof), close, enrollment, newest: enrollment });
    }
  };
  await Promise.all(Array.from({ length: dialLanes }, lane));
  return fleet;
}

/** The time from the arrival of the certificate to its renewal, in the short day. */
function due(enrollment: PairedEnrollment): number {
  const { notAfter } = readPeerCertificate(enrollment.certificateChain[0]!);
  const { receivedAt } = enrollment;
  const part =
    (renewalTime(enrollment, Math.random()).getTime() - receivedAt) / (notAfter.getTime() - receivedAt);
  return part * dayMs;
}

/**
 * Each device calls at its time. Keys and proofs are made before, and answers checked after, so that only calls run.
 */
async function renewAll(fleet: readonly Live[], when: (live: Live) => number, child: ChildProcess) {
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
  const cpuBefore = await ask(child, 'cpu');
  const started = performance.now();
  begin.resolve();
  await Promise.race([end.promise, failed]);
  const tookMs = performance.now() - started;
  const cpuMs = (await ask(child, 'cpu')) - cpuBefore;
  await failed;
  const seconds = new Map<number, number>();
  for (const at of answeredAt) {
    const second = Math.floor((at - started) / 1000);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  return { tookMs, cpuMs, latenciesMs, busiestSecond: quantile([...seconds.values()], 1) };
}
