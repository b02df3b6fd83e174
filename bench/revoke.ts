// revoke.*: the time until a revocation takes effect.

import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createClient } from '@connectrpc/connect';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { BenchDaemon } from './daemon-process.ts';
import { type Figures, type Progress, quantile } from './measure.ts';
import type { Revoked } from './operator.ts';
import { answerOf } from './server-process.ts';

const devices = 1_000;
const dialLanes = 16;
const callLanes = 8;

class Live {
  readonly deviceId: string;
  readonly transport: string;
  /** ms since 1970. */
  readonly closed: Promise<number>;
  readonly #node;
  /** The time of the operator's answer; the revocation is committed. */
  revoked = false;
  /** Calls sent after that but still answered. */
  slipped = 0;

  constructor(deviceId: string, connection: NodeConnection) {
    this.deviceId = deviceId;
    this.transport = connection.name;
    this.closed = connection.closed.then(() => performance.timeOrigin + performance.now());
    this.#node = createClient(NodeService, connection.transport);
  }

  /** @returns whether the call was answered. */
  async call(): Promise<boolean> {
    const late = this.revoked;
    const answered = await this.#node.status({}).then(
      () => true,
      () => false,
    );
    if (answered && late) this.slipped += 1;
    return answered;
  }
}

function revokedBy(operator: ChildProcess, deviceId: string): Promise<Revoked> {
  const answer = answerOf<Revoked>(operator);
  operator.send(deviceId);
  return answer;
}

export async function revoke(progress: Progress): Promise<Figures> {
  progress(`revocation of ${devices} connected devices, one after another`);
  const daemon = await BenchDaemon.start(devices);
  const quic = createQuic();
  const live: Live[] = [];
  const waiting = [...daemon.ready.devices.entries()];
  const dialLane = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [index, { id, enrollment }] = next;
      const overHttp2 = index % 2 === 0;
      const connection = overHttp2
        ? await dialNode(enrollment.nodeAddress, enrollment)
        : await dialNodeQuic(quic, enrollment);
      const each = new Live(id, connection);
      if (!(await each.call())) throw new Error('a device of this benchmark got no answer');
      live.push(each);
    }
  };
  await Promise.all(Array.from({ length: dialLanes }, dialLane));

  const operator = fork(new URL('./operator.ts', import.meta.url), [
    join(daemon.home, 'daemon', 'admin.sock'),
  ]);
  await answerOf(operator);
  const left = [...live];
  let calls = 0;
  let over = false;
  // The other devices continue. The next one is picked at random.
  const callLane = async () => {
    while (!over) {
      const someone = left[Math.floor(Math.random() * left.length)];
      if (someone && (await someone.call())) calls += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const lanes = Array.from({ length: callLanes }, callLane);
  const times = { http2: [] as number[], quic: [] as number[] };
  const answers: number[] = [];
  const starts = new Map<Live, number>();
  // The time in which this measuring process was busy with its own calls.
  const late = monitorEventLoopDelay({ resolution: 1 });
  late.enable();
  for (const victim of live) {
    // Calls without a pause until a call fails.
    const calling = (async () => {
      while (await victim.call());
    })();
    const { called, answered } = await revokedBy(operator, victim.deviceId);
    victim.revoked = true;
    starts.set(victim, called);
    answers.push(answered - called);
    times[victim.transport as 'http2' | 'quic'].push((await victim.closed) - called);
    left.splice(left.indexOf(victim), 1);
    await calling;
  }
  over = true;
  late.disable();
  await Promise.all(lanes);
  const onDaemon: number[] = [];
  for (const [{ deviceId }, started] of starts)
    onDaemon.push((await daemon.ask({ closedDevice: deviceId })) - started);
  operator.disconnect();
  await daemon.stop();

  const all = [...times.http2, ...times.quic];
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
        http2_p50: quantile(times.http2, 0.5),
        http2_p99: quantile(times.http2, 0.99),
        quic_p50: quantile(times.quic, 0.5),
        quic_p99: quantile(times.quic, 0.99),
        slowest: quantile(all, 1),
        daemon_closed_p50: quantile(onDaemon, 0.5),
        daemon_closed_p99: quantile(onDaemon, 0.99),
        operators_answer_p50: quantile(answers, 0.5),
        operators_answer_p99: quantile(answers, 0.99),
        client_late_p99: late.percentile(99) / 1e6,
        calls_of_others: calls,
      },
    },
    'revoke.accepted_after_commit': {
      value: live.reduce((sum, each) => sum + each.slipped, 0),
      target: { atMost: 0 },
      unit: 'calls',
      meaning: 'Calls that were sent after the operator had the answer, and were answered all the same.',
      parts: {},
    },
  };
}
