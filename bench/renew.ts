// renew.*: a whole fleet that renews at the same time, or at times that the daemon asks for.

import { readPeerCertificate } from '@palyra/identity/certificate';
import { type PairedEnrollment, renewalTime } from '@palyra/identity/device';
import { skipGo } from '../tests/testing/go-program.ts';
import { FleetProcess, renewAll } from './fleet.ts';
import { type Figures, type Progress, quantile } from './measure.ts';
import { type Called, PeerClient, targetOf } from './peers/client.ts';

/** Each device has a connection. Dialling them takes minutes, and each side needs more than a gigabyte. */
const devices = 10_000;
/** Renewals of each device in the storm. */
const times = 1;
/** Calls of another device in the first seconds of the storm, from a process of its own: the one of the fleet is busy with it. */
const callsPerSecond = 100;
const callsMs = 5_000;
/** The life of a certificate is compressed to this time for renewals at their due times. */
const dayMs = 120_000;
const mib = 2 ** 20;

export async function renew(progress: Progress): Promise<Figures> {
  progress(`a daemon with ${devices} paired devices`);
  await using daemon = await FleetProcess.start(devices);
  const raw = await daemon.ask('raw');
  const idle = await daemon.ask('memory');
  progress(`${devices} connections`);
  const fleet = await daemon.dialAll();
  const connected = await daemon.ask('memory');

  progress(`all of them renew at once, ${times} times each`);
  const caller = skipGo ? undefined : PeerClient.start();
  const target = targetOf(fleet[0]!.enrollment.nodeAddress, [fleet[0]!.enrollment]);
  // Its connection is made.
  await caller?.load(target, callsPerSecond, 1_000);
  let calling: Promise<Called> | undefined;
  const storm = await renewAll(Array.from({ length: times }, () => fleet).flat(), () => 0, {
    process: daemon,
    onBegin: () => {
      calling = caller?.load(target, callsPerSecond, callsMs);
    },
  });
  const calls = await calling;
  await caller?.end();
  const afterwards = await daemon.ask('memory');
  progress('all of them renew when the daemon asked for it');
  const asked = await renewAll(fleet, ({ newest }) => due(newest), { process: daemon });
  progress('all of them renew at times of their own');
  const own = await renewAll(fleet, ({ newest }) => due({ ...newest, renewAfterMs: 0 }), { process: daemon });

  for (const { close } of fleet) close();
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
    'renew.per_second': {
      value: perSecond,
      target: { atLeast: 2000 },
      unit: 'calls',
      meaning: 'Renewals per second in that storm.',
      whenMissed:
        "the processors also run all the devices. Of the daemon's work for a renewal, without the call that brings it, two " +
        'verifications (in the thread pool) and one signature take two fifths, and the rows a fifth.',
      parts: { daemon_processor_us: (storm.cpuMs * 1000) / renewals },
    },
    ...(calls && {
      'renew.call_p99_ms': {
        value: calls.p99Ms,
        target: { atMost: 25 },
        unit: 'ms',
        meaning:
          `p99 of the calls of another device in the first ${callsMs / 1000} s of that storm, ${callsPerSecond} a second from a Go ` +
          'client, from the time at which each was due.',
        whenMissed:
          'before Node writes, it reads every socket that is ready, and in the first seconds of such a storm these are thousands with a ' +
          'renewal. Devices renew at times of their own, or when the daemon asked (renew.asked_p99_ms).',
        parts: { p50_ms: calls.p50Ms },
      },
    }),
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

/** The time from the arrival of the certificate to its renewal, in the short day. */
function due(enrollment: PairedEnrollment): number {
  const { notAfter } = readPeerCertificate(enrollment.certificateChain[0]!);
  const { receivedAt } = enrollment;
  const part =
    (renewalTime(enrollment, Math.random()).getTime() - receivedAt) / (notAfter.getTime() - receivedAt);
  return part * dayMs;
}
