// Three daemons as processes, and devices with connections to all of them: from the acknowledgement of a revocation on, no
// daemon accepts anything from the device, and idle connections close.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, fromConnectError, type NodeConnection, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import type { DaemonProcess } from '../testing/daemon-process.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { onlyAt } from '../testing/only-at.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice } from '../testing/sample-device.ts';
import { within } from '../testing/until.ts';

const quic = createQuic();
const transports = ['http2', 'quic'] as const;
type Transport = (typeof transports)[number];

interface Paired {
  readonly device: SampleDevice;
  readonly enrollment: PairedEnrollment;
}

/** A daemon in a separate process, or in this one. */
interface Member {
  readonly nodeAddress: string;
  readonly quicAddress: string;
  readonly admin: Awaited<ReturnType<DaemonProcess['admin']>>;
  readonly pairing: Parameters<typeof pair>[0];
}

async function processAsMember(daemon: DaemonProcess): Promise<Member> {
  const admin = await daemon.admin();
  const { nodeAddress, quicAddress, pairingAddress } = daemon;
  const peer = (known?: never) => daemon.peer(known);
  return { nodeAddress, quicAddress, admin, pairing: { admin, pairingAddress, peer } as never };
}

function testDaemonAsMember(daemon: TestDaemon): Member {
  const { nodeAddress, admin, running } = daemon;
  const quicAddress = running.listeners.find(({ name }) => name === 'quic')?.address ?? '';
  return { nodeAddress, quicAddress, admin, pairing: daemon };
}

async function enroll({ pairing }: Member): Promise<Paired> {
  const device = await makeDevice();
  return { device, enrollment: await pair(pairing, device) };
}

function dial(daemon: Member, transport: Transport, enrollment: PairedEnrollment): Promise<NodeConnection> {
  return transport === 'http2'
    ? dialNode(daemon.nodeAddress, enrollment)
    : dialNodeQuic(quic, onlyAt(enrollment, daemon));
}

/** A connection that calls without a pause, and remembers the start of the last call that was answered. */
class Caller {
  lastAcceptedAt = 0;
  /** Resolves with the first answer. */
  readonly answered: Promise<void>;
  readonly ended: Promise<unknown>;

  constructor(connection: NodeConnection) {
    const first = Promise.withResolvers<void>();
    this.answered = first.promise;
    const node = createClient(NodeService, connection.transport);
    this.ended = (async () => {
      for (;;) {
        const startedAt = performance.now();
        try {
          await node.status({});
        } catch (error) {
          return error;
        }
        this.lastAcceptedAt = startedAt;
        first.resolve();
      }
    })();
  }
}

describe('a revocation on one of three daemons', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('holds on all of them at once', async (t) => {
    const daemons = await fleet.startProcesses(t, 3, await fleet.settings());
    const members = await Promise.all(daemons.map(processAsMember));
    const delays = [...(await play(t, members, 0)), ...(await play(t, members, 1))];
    t.diagnostic(`idle connections closed after ${delays.map(Math.round).join(', ')} ms`);
  });
});

describe('a revocation on one of three daemons without notifications', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  test('holds on all of them at once', async (t) => {
    const daemons = await fleet.start(t, 3);
    const delays = await play(t, daemons.map(testDaemonAsMember), 0);
    t.diagnostic(`idle connections closed after ${delays.map(Math.round).join(', ')} ms`);
  });
});

/** @returns how long idle connections stayed open after the acknowledgement, ms. */
async function play(t: TestContext, daemons: readonly Member[], round: number): Promise<number[]> {
  const at = (index: number) => daemons[index % daemons.length]!;
  const { device, enrollment } = await enroll(at(round));
  const { id } = device.identity;
  const connections: NodeConnection[] = [];
  t.after(() => {
    for (const each of connections) each.close();
  });
  const open = async (daemon: Member, transport: Transport) => {
    const connection = await dial(daemon, transport, enrollment);
    connections.push(connection);
    await createClient(NodeService, connection.transport).status({});
    return connection;
  };
  const idle: NodeConnection[] = [];
  const callers: Caller[] = [];
  const asked: NodeConnection[] = [];
  for (const daemon of daemons)
    for (const transport of transports) {
      idle.push(await open(daemon, transport));
      asked.push(await open(daemon, transport));
    }
  for (const [index, daemon] of daemons.entries())
    callers.push(new Caller(await open(daemon, transports[index % 2]!)));
  await within('every caller is answered', Promise.all(callers.map(({ answered }) => answered)));
  const closings = idle.map((connection) => connection.closed.then(() => performance.now()));
  await at(round + 1).admin.revokeDevice({ id, reason: 'lost' });
  const acknowledgedAt = performance.now();

  // Every request from now on is refused everywhere, on existing and on new connections.
  const refusals = await Promise.allSettled([
    ...asked.map((connection) => createClient(NodeService, connection.transport).status({})),
    ...daemons.flatMap((daemon) =>
      transports.map(async (transport) => {
        const connection = await dial(daemon, transport, enrollment);
        connections.push(connection);
        return createClient(NodeService, connection.transport).status({});
      }),
    ),
  ]);
  for (const refusal of refusals) {
    assert.equal(refusal.status, 'rejected');
    const { code } = fromConnectError(refusal.reason) as { code?: string };
    assert.ok(['DEVICE_REVOKED', 'UNREACHABLE'].includes(String(code)), `${code}: ${refusal.reason}`);
  }
  for (const caller of callers) {
    await within('a caller is refused', caller.ended);
    assert.ok(
      caller.lastAcceptedAt < acknowledgedAt,
      'a call that began after the acknowledgement was accepted',
    );
  }
  const closedAt = await within('idle connections close', Promise.all(closings));
  return closedAt.map((ms) => ms - acknowledgedAt);
}
