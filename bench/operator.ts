// The operator of revoke.ts, in a separate process, so that the load on the other processes does not delay it.

import { createClient } from '@connectrpc/connect';
import { AdminService, dialAdmin } from '@palyra/rpc';

/** The times of the operator's call and its answer, ms since 1970. */
export interface Revoked {
  readonly called: number;
  readonly answered: number;
}

const [socketPath = ''] = process.argv.slice(2);
const connection = await dialAdmin(socketPath);
const admin = createClient(AdminService, connection.transport);
const now = () => performance.timeOrigin + performance.now();

async function revoke(id: string): Promise<Revoked> {
  const called = now();
  await admin.revokeDevice({ id, reason: 'benchmark' });
  return { called, answered: now() };
}

process.on('disconnect', () => process.exit());
process.on('message', async (id: string) => process.send?.(await revoke(id)));
process.send?.('ready');
