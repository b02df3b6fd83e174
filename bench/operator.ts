// The operator of revoke.ts, as a process of its own: whoever revokes a device does not wait for what that is busy with.

import { createClient } from '@connectrpc/connect';
import { AdminService, dialAdmin } from '@palyra/rpc';

/** When the operator called, and when the answer was there, ms since 1970. */
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
