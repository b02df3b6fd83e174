// Revokes connected devices one after another, while all of them call, and measures the time until a revocation takes effect.

import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { type NodeConnection, NodeService } from '@palyra/rpc';
import { BenchDaemon } from './daemon-process.ts';
import type { Revoked } from './operator.ts';
import { answerOf } from './server-process.ts';

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

export interface Revocations {
  /** From the operator's call to the end of the device's connection, as the device sees it, ms; by transport. */
  readonly times: ReadonlyMap<string, readonly number[]>;
  /** From the operator's call until the daemon has closed the connection, ms. */
  readonly onDaemon: readonly number[];
  /** From the operator's call to the answer, ms. */
  readonly answers: readonly number[];
  /** How late this process was, 99th percentile, ms: the time in which it was busy with its own calls. */
  readonly clientLateMs: number;
  /** Answered calls of the other devices. */
  readonly calls: number;
  /** Calls sent after the operator's answer but still answered. */
  readonly slipped: number;
}

/** @param dials each device takes the next one. */
export async function revokeAll(
  devices: number,
  dials: readonly ((enrollment: PairedEnrollment) => Promise<NodeConnection>)[],
): Promise<Revocations> {
  const daemon = await BenchDaemon.start(devices);
  const live: Live[] = [];
  const waiting = [...daemon.ready.devices.entries()];
  const dialLane = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [index, { id, enrollment }] = next;
      const each = new Live(id, await dials[index % dials.length]!(enrollment));
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
  const times = new Map<string, number[]>();
  const answers: number[] = [];
  const starts = new Map<Live, number>();
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
    times.set(victim.transport, [...(times.get(victim.transport) ?? []), (await victim.closed) - called]);
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
  return {
    times,
    onDaemon,
    answers,
    clientLateMs: late.percentile(99) / 1e6,
    calls,
    slipped: live.reduce((sum, each) => sum + each.slipped, 0),
  };
}
