// A device in a separate process that opens connections to a daemon, reports that, and holds them until it is killed.
// Reads one enrollment as JSON on stdin, bytes as base64 strings.

import { text } from 'node:stream/consumers';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';

const { count, enrollment } = JSON.parse(await text(process.stdin), (_key, value) =>
  typeof value === 'object' && value !== null && 'base64' in value
    ? new Uint8Array(Buffer.from(value.base64, 'base64'))
    : value,
) as { readonly count: number; readonly enrollment: PairedEnrollment };

const quic = createQuic();
for (let held = 0; held < count; held += 1)
  for (const dialling of [dialNode(enrollment.nodeAddress, enrollment), dialNodeQuic(quic, enrollment)]) {
    const { transport } = await dialling;
    await createClient(NodeService, transport).status({});
  }
process.stdout.write('held\n');
setInterval(() => {}, 60_000);
