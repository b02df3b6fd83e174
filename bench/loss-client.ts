// The calling process of loss.ts, in its own network namespace.

import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';

export interface LossQuestion {
  readonly transport: 'quic' | 'http2';
  readonly enrollment: PairedEnrollment;
  /** Calls at a time. */
  readonly lanes: number;
  readonly calls: number;
}

const quic = createQuic();

/** The time of each call, ms, without dialling. */
async function measure({ transport, enrollment, lanes, calls }: LossQuestion): Promise<number[]> {
  const connection = await (transport === 'quic'
    ? dialNodeQuic(quic, enrollment)
    : dialNode(enrollment.nodeAddress, enrollment));
  const node = createClient(NodeService, connection.transport);
  await node.status({});
  const times: number[] = [];
  let left = calls;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      const started = performance.now();
      await node.status({});
      times.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  connection.close();
  await connection.closed;
  return times;
}

process.on('disconnect', () => process.exit());
process.on('message', async (question: LossQuestion) => process.send?.(await measure(question)));
