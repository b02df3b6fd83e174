// revoke.*: the time until a revocation takes effect.

import { dialNode } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { type Figures, type Progress, quantile } from './measure.ts';
import { revokeAll } from './revocations.ts';

const devices = 1_000;

export async function revoke(progress: Progress): Promise<Figures> {
  progress(`revocation of ${devices} connected devices, one after another`);
  const quic = createQuic();
  const { times, onDaemon, answers, clientLateMs, calls, slipped } = await revokeAll(devices, [
    (enrollment) => dialNode(enrollment.nodeAddress, enrollment),
    (enrollment) => dialNodeQuic(quic, enrollment),
  ]);
  const [http2 = [], overQuic = []] = [times.get('http2'), times.get('quic')];
  const all = [...http2, ...overQuic];
  return {
    'revoke.to_closed_ms_p99': {
      value: quantile(all, 0.99),
      target: { atMost: 50 },
      unit: 'ms',
      meaning:
        `From the operator's call to the end of the device's connection, as the device sees it: ${devices} devices, half ` +
        'on HTTP/2 and half on QUIC, revoked one after another while all of them call.',
      whenMissed:
        `the daemon has committed and closed the connection after ${Math.round(quantile(onDaemon, 0.5))} ms (p50), ` +
        `${Math.round(quantile(onDaemon, 0.99))} ms (p99): one durable write, behind the calls of everybody else. The ` +
        'device sees it when its process comes to read it. Client and daemon share the processors of this machine.',
      parts: {
        http2_p50: quantile(http2, 0.5),
        http2_p99: quantile(http2, 0.99),
        quic_p50: quantile(overQuic, 0.5),
        quic_p99: quantile(overQuic, 0.99),
        slowest: quantile(all, 1),
        daemon_closed_p50: quantile(onDaemon, 0.5),
        daemon_closed_p99: quantile(onDaemon, 0.99),
        operators_answer_p50: quantile(answers, 0.5),
        operators_answer_p99: quantile(answers, 0.99),
        client_late_p99: clientLateMs,
        calls_of_others: calls,
      },
    },
    'revoke.accepted_after_commit': {
      value: slipped,
      target: { atMost: 0 },
      unit: 'calls',
      meaning: 'Calls that were sent after the operator had the answer, and were answered all the same.',
      parts: {},
    },
  };
}
