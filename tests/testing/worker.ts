// A process that repeats one action until it is killed: `node worker.ts rekey|backup|renew HOME [ADDRESS]`.
// It prints "at work" when the first round begins.

import { join } from 'node:path';
import process from 'node:process';
import {
  DeviceIdentity,
  loadEnrollments,
  type PairedEnrollment,
  renewCertificate,
} from '@palyra/identity/device';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { openSecrets } from './device-home.ts';

const [what, home = '', address = ''] = process.argv.slice(2);
const work = { rekey, backup, renew }[what ?? ''];
if (!work) throw new Error(`no such work: ${what}`);
await work();

function begin(): void {
  process.stdout.write('at work\n');
}

async function rekey(): Promise<void> {
  const { rekeySecrets } = await import('@palyra/daemon/home');
  begin();
  for (;;) await rekeySecrets(home, undefined);
}

async function backup(): Promise<void> {
  const { backupHome } = await import('@palyra/daemon/home');
  begin();
  const file = join(home, 'backup.age');
  for (;;) await backupHome(home, file, 'correct horse battery', { scryptLogN: 1, replace: true });
}

async function renew(): Promise<void> {
  const { createClient } = await import('@connectrpc/connect');
  const { dialNode, NodeService } = await import('@palyra/rpc');
  begin();
  const secrets = await openSecrets(home);
  const identity = await DeviceIdentity.load(secrets, nodeCrypto);
  const device = { identity, secrets, clock: systemClock };
  for (;;) {
    const [enrollment] = (await loadEnrollments(secrets)) as PairedEnrollment[];
    const connection = await dialNode(address, enrollment!);
    const node = createClient(NodeService, connection.transport);
    await node.status({});
    await renewCertificate(device, enrollment!, (proof) => node.renew(proof));
    connection.close();
  }
}
