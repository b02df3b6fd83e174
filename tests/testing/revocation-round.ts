// One revocation in a fleet, and a device with connections of every transport to every daemon: from the acknowledgement on, no
// daemon accepts anything from the device, and idle connections close.

import assert from 'node:assert/strict';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, fromConnectError, type NodeConnection, NodeService } from '@palyra/rpc';
import { dialNodeQuic } from '@palyra/transport-quic';
import { dialNodeWeb } from '@palyra/transport-websocket';
import type { DaemonProcess } from './daemon-process.ts';
import { onlyAt } from './only-at.ts';
import type { Scope } from './palyra-process.ts';
import type { TestDaemon } from './running-daemon.ts';
import { makeDevice, pair, type SampleDevice } from './sample-device.ts';
import { quic } from './test-agent.ts';
import { within } from './until.ts';

const allTransports = ['http2', 'quic', 'websocket'] as const;
export type Transport = (typeof allTransports)[number];

/** For daemons that serve WebSockets too. */
export const withWeb = { web: { host: '127.0.0.1', port: 0 } };

export interface Paired {
  readonly device: SampleDevice;
  readonly enrollment: PairedEnrollment;
}

/** A daemon in a separate process, or in this one. */
export interface Member {
  readonly nodeAddress: string;
  readonly quicAddress: string;
  readonly webAddress: string;
  readonly admin: Awaited<ReturnType<DaemonProcess['admin']>>;
  readonly pairing: Parameters<typeof pair>[0];
}

export async function processAsMember(daemon: DaemonProcess): Promise<Member> {
  const admin = await daemon.admin();
  const { nodeAddress, quicAddress, webAddress, pairingAddress } = daemon;
  const peer = (known?: never) => daemon.peer(known);
  return {
    nodeAddress,
    quicAddress,
    webAddress,
    admin,
    pairing: { admin, pairingAddress, peer } as never,
  };
}

export function testDaemonAsMember(daemon: TestDaemon): Member {
  const { nodeAddress, webAddress, admin, running } = daemon;
  const quicAddress = running.listeners.find(({ name }) => name === 'quic')?.address ?? '';
  return { nodeAddress, quicAddress, webAddress, admin, pairing: daemon };
}

export async function enroll({ pairing }: Member): Promise<Paired> {
  const device = await makeDevice();
  return { device, enrollment: await pair(pairing, device) };
}

/** A connection to this daemon and no other. */
export function dial(
  { nodeAddress, quicAddress, webAddress }: Omit<Member, 'admin' | 'pairing'>,
  transport: Transport,
  enrollment: PairedEnrollment,
): Promise<NodeConnection> {
  if (transport === 'http2') return dialNode(nodeAddress, enrollment);
  if (transport === 'quic') return dialNodeQuic(quic, onlyAt(enrollment, { nodeAddress, quicAddress }));
  return dialNodeWeb({ ...enrollment, byHand: { web: [webAddress] } });
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

/**
 * The device is paired at the daemon with this number, and revoked at the one after it.
 * @returns how long idle connections stayed open after the acknowledgement, ms.
 */
export async function playRevocation(
  t: Scope,
  daemons: readonly Member[],
  number: number,
  transports: readonly Transport[] = allTransports,
): Promise<number[]> {
  const at = (index: number) => daemons[index % daemons.length]!;
  const { device, enrollment } = await enroll(at(number));
  const { id } = device.identity;
  const connections: NodeConnection[] = [];
  t.after(async () => {
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
    callers.push(new Caller(await open(daemon, transports[index % transports.length]!)));
  await within('every caller is answered', Promise.all(callers.map(({ answered }) => answered)));
  const closings = idle.map((connection) => connection.closed.then(() => performance.now()));
  await at(number + 1).admin.revokeDevice({ id, reason: 'lost' });
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
