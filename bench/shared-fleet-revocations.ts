// Revokes devices that are connected to all of three daemons, one after another and under load, each at one daemon.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import type { FleetMember } from './fleet-server.ts';
import type { IdleAnswer, IdleDevice } from './idle-devices.ts';
import { type Figures, quantile } from './measure.ts';
import type { Revoked } from './operator.ts';
import { answerOf } from './server-process.ts';
import { FleetDaemon, type SharedSettings } from './shared-fleet-daemon.ts';

const devices = 1_000;
/** Devices that are connected at the same time; each takes six connections. */
const connected = 20;
const dialLanes = 4;
const callLanes = 8;
const quic = createQuic();

/** A device with two connections to each daemon: one that calls without a pause, and one that is idle, in another process. */
interface Victim {
  readonly id: string;
  readonly enrollment: PairedEnrollment;
  readonly calling: readonly NodeConnection[];
  /** When the idle ones ended, ms since 1970. */
  readonly closings: Promise<readonly number[]>;
}

export async function fleetRevocations(settings: SharedSettings): Promise<Figures> {
  const config = {
    ...settings,
    quic: { host: '127.0.0.1' },
    limits: { nodeConnections: 2_000, quicConnections: 2_000, strangersPerSource: 2_000 },
  };
  await using first = await FleetDaemon.start(devices, config);
  await using second = await FleetDaemon.start(0, config);
  await using third = await FleetDaemon.start(0, config);
  const daemons = [first, second, third];
  const operators = await Promise.all(daemons.map(({ socket }) => operatorAt(socket)));
  using idle = new IdleDevices();
  const delays: number[] = [];
  let slipped = 0;
  let calls = 0;
  let present: Victim[] = [];
  let over = false;
  // The devices that are not revoked yet call as well.
  const callLane = async () => {
    while (!over) {
      const someone = present[Math.floor(Math.random() * present.length)];
      const connection = someone?.calling[Math.floor(Math.random() * daemons.length)];
      if (connection && (await isAnswered(connection))) calls += 1;
      await setTimeout(5);
    }
  };
  const lanes = Array.from({ length: callLanes }, callLane);
  for (let from = 0; from < devices; from += connected) {
    present = await connectAll(first.members.slice(from, from + connected), daemons, idle);
    for (const [index, victim] of present.entries()) {
      slipped += await revoke(victim, operators[index % operators.length]!, daemons, delays);
      present[index] = { ...victim, calling: [] };
    }
  }
  over = true;
  await Promise.all(lanes);
  for (const operator of operators) operator.disconnect();
  return {
    'fleet.accepted_after_acknowledgement': {
      value: slipped,
      target: { atMost: 0 },
      unit: 'calls',
      meaning:
        `Calls and connections at any of three daemons that began after the operator had the answer, and were accepted: ${devices} ` +
        'revocations, each at one of the daemons, on HTTP/2 and QUIC, while the device calls all three without a pause.',
      parts: { revocations: devices, calls_of_others: calls },
    },
    'fleet.idle_closed_ms_p99': {
      value: quantile(delays, 0.99),
      target: { atMost: 50 },
      unit: 'ms',
      meaning:
        'From the answer to the operator to the end of an idle connection at each of the three daemons, as the device sees it. ' +
        'Negative: it ended before the answer came.',
      whenMissed: 'PostgreSQL, three daemons and all devices share the processors of this machine.',
      parts: { p50: quantile(delays, 0.5), p90: quantile(delays, 0.9), slowest: quantile(delays, 1) },
    },
  };
}

async function operatorAt(socket: string): Promise<ChildProcess> {
  const operator = fork(new URL('./operator.ts', import.meta.url), [socket]);
  await answerOf(operator);
  return operator;
}

/** The process of idle-devices.ts. */
class IdleDevices implements Disposable {
  readonly #child = fork(new URL('./idle-devices.ts', import.meta.url), { serialization: 'advanced' });
  readonly #ended = once(this.#child, 'exit').then(([code]): never => {
    throw new Error(`the process of the idle devices ended with ${code}`);
  });
  readonly #hear = new Map<string, (answer: IdleAnswer) => void>();

  constructor() {
    this.#child.on('message', (answer: IdleAnswer) => this.#hear.get(answer.id)?.(answer));
    this.#ended.catch(() => {});
  }

  /** Resolves when the device is connected. */
  async connect(device: IdleDevice): Promise<{ readonly closings: Promise<readonly number[]> }> {
    const connected = Promise.withResolvers<void>();
    const closings = Promise.withResolvers<readonly number[]>();
    this.#hear.set(device.id, ({ closedAt }) => {
      if (closedAt) closings.resolve(closedAt);
      else connected.resolve();
    });
    this.#child.send(device);
    await Promise.race([connected.promise, this.#ended]);
    return { closings: Promise.race([closings.promise, this.#ended]) };
  }

  [Symbol.dispose](): void {
    this.#child.disconnect();
  }
}

async function connectAll(
  members: readonly FleetMember[],
  daemons: readonly FleetDaemon[],
  idle: IdleDevices,
): Promise<Victim[]> {
  const waiting = [...members.entries()];
  const victims: Victim[] = [];
  const lane = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [index, { enrollment }] = next;
      victims.push(await connect(enrollment, daemons, idle, index));
    }
  };
  await Promise.all(Array.from({ length: dialLanes }, lane));
  return victims;
}

async function connect(
  enrollment: PairedEnrollment,
  daemons: readonly FleetDaemon[],
  idle: IdleDevices,
  index: number,
): Promise<Victim> {
  const id = enrollment.deviceId;
  const calling = await Promise.all(daemons.map((daemon, place) => dial(enrollment, daemon, index + place)));
  for (const each of calling)
    if (!(await isAnswered(each))) throw new Error('a device of this benchmark got no answer');
  const dials = daemons.map(({ addresses }, place) =>
    (index + place) % 2 === 0
      ? { transport: 'quic' as const, address: addresses.quic }
      : { transport: 'http2' as const, address: addresses.node },
  );
  return { id, enrollment, calling, ...(await idle.connect({ id, enrollment, dials })) };
}

function dial(enrollment: PairedEnrollment, { addresses }: FleetDaemon, by: number): Promise<NodeConnection> {
  return by % 2 === 0
    ? dialNode(addresses.node, enrollment)
    : dialNodeQuic(quic, { ...enrollment, byHand: { quic: [addresses.quic] } });
}

/** @returns the accepted calls and connections that began after the answer. */
async function revoke(
  victim: Victim,
  operator: ChildProcess,
  daemons: readonly FleetDaemon[],
  delays: number[],
): Promise<number> {
  let isRevoked = false;
  let slipped = 0;
  const callers = victim.calling.map(async (connection) => {
    for (;;) {
      const late = isRevoked;
      if (!(await isAnswered(connection))) return;
      if (late) slipped += 1;
    }
  });
  const answer = answerOf<Revoked>(operator);
  operator.send(victim.id);
  const { answered } = await answer;
  isRevoked = true;
  for (const closedAt of await victim.closings) delays.push(closedAt - answered);
  await Promise.all(callers);
  const late = await Promise.all(
    daemons.map((daemon, place) => isAdmitted(victim.enrollment, daemon, place)),
  );
  for (const each of victim.calling) each.close();
  return slipped + late.filter(Boolean).length;
}

async function isAdmitted(enrollment: PairedEnrollment, daemon: FleetDaemon, by: number): Promise<boolean> {
  try {
    const connection = await dial(enrollment, daemon, by);
    try {
      return await isAnswered(connection);
    } finally {
      connection.close();
    }
  } catch {
    return false;
  }
}

function isAnswered({ transport }: NodeConnection): Promise<boolean> {
  return createClient(NodeService, transport)
    .status({})
    .then(
      () => true,
      () => false,
    );
}
