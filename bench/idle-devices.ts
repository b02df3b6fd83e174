// The process of shared-fleet-revocations.ts with the idle connections of devices, so that the load on the other processes does not
// delay it.

import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';

export interface Dial {
  readonly transport: 'http2' | 'quic';
  readonly address: string;
}

export interface IdleDevice {
  readonly id: string;
  readonly enrollment: PairedEnrollment;
  /** One connection each. */
  readonly dials: readonly Dial[];
}

/** Sent when a device is connected; and again with the times, ms since 1970, when all its connections have ended. */
export interface IdleAnswer {
  readonly id: string;
  readonly closedAt?: readonly number[];
}

const quic = createQuic();

async function connect({ enrollment, dials }: IdleDevice): Promise<NodeConnection[]> {
  const connections = await Promise.all(
    dials.map(({ transport, address }) =>
      transport === 'http2'
        ? dialNode(address, enrollment)
        : dialNodeQuic(quic, { ...enrollment, byHand: { quic: [address] } }),
    ),
  );
  // The daemon may refuse a connection until its first call.
  await Promise.all(connections.map(({ transport }) => createClient(NodeService, transport).status({})));
  return connections;
}

process.on('disconnect', () => process.exit());
process.on('message', async (device: IdleDevice) => {
  const connections = await connect(device);
  const { id } = device;
  const answer = (more: Omit<IdleAnswer, 'id'>) => process.send?.({ id, ...more } satisfies IdleAnswer);
  answer({});
  const closedAt = await Promise.all(
    connections.map(async ({ closed }) => {
      await closed;
      return performance.timeOrigin + performance.now();
    }),
  );
  answer({ closedAt });
});
