// Makes every kind of connection of a device and a daemon, in an environment that a test has chosen. Prints one line of
// JSON with the outcomes. Input on stdin: JSON.

import { text } from 'node:stream/consumers';
import { createClient } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, dialPairing, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { post } from '../../packages/daemon/src/notices/webhook.ts';
import { longestWaitMs } from './until.ts';

export interface DialInput {
  /** Bytes are in base64. */
  readonly enrollment: Record<string, unknown>;
  readonly pairingAddress: string;
  /** host:port of servers that are not the daemon. */
  readonly impostors: readonly string[];
}

const input = JSON.parse(await text(process.stdin), (_, value) =>
  typeof value === 'string' && value.startsWith('base64:')
    ? new Uint8Array(Buffer.from(value.slice('base64:'.length), 'base64'))
    : value,
) as DialInput;
const enrollment = input.enrollment as unknown as PairedEnrollment;

const outcome = async (work: () => Promise<unknown>) => {
  try {
    await work();
    return 'OK';
  } catch (error) {
    return error instanceof IdentityError
      ? error.code
      : String((error as NodeJS.ErrnoException).code ?? error);
  }
};
const call = async (connection: Awaited<ReturnType<typeof dialNode | typeof dialNodeQuic>>) => {
  await createClient(NodeService, connection.transport).status({});
  connection.destroy();
};
const hook = (url: string) =>
  post(url, { body: '{}', headers: {}, signal: AbortSignal.timeout(longestWaitMs) });

const honest = {
  node: await outcome(async () => call(await dialNode(enrollment.nodeAddress, enrollment))),
  pairing: await outcome(async () => (await dialPairing(input.pairingAddress, enrollment)).destroy()),
};
const impostors = [];
for (const address of input.impostors)
  impostors.push({
    node: await outcome(async () => call(await dialNode(address, enrollment))),
    pairing: await outcome(async () => (await dialPairing(address, enrollment)).destroy()),
    webhook: await outcome(() => hook(`https://${address}/`)),
  });
// Comes last, because its library empties the trust store of the whole process.
const quic = await outcome(async () => call(await dialNodeQuic(createQuic(), enrollment)));
console.log(JSON.stringify({ honest: { ...honest, quic }, impostors }));
process.exit();
