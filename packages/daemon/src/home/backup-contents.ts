// Verifies the registry and the secrets of a backup. Anybody with the passphrase could have made the file, so a restore
// reads all of it before using it, and reports every problem as one error.

import { IdentityError, type IdentityErrorCode, MemorySecretStore, verifyAudit } from '@palyra/identity';
import { keyPlaceOf } from '@palyra/identity/keys';
import { mustBelongTogether, type Registry } from '@palyra/identity/registry';
import { parseConfig } from '../config.ts';
import { mustHaveKeys } from './backup.ts';
import { type BackupHead, unreadable } from './backup-file.ts';
import type { DaemonPaths } from './paths.ts';

const pageSize = 500;

/**
 * Checks that every row is readable, and that registry, secrets and head belong to one daemon at one moment.
 * @throws any problem
 */
export async function mustBeWhole(head: BackupHead, registry: Registry, paths: DaemonPaths): Promise<void> {
  await registry.authorities();
  await registry.revocations({ limit: Number.MAX_SAFE_INTEGER });
  for (const page of [
    async (after: string) => (await registry.devices({ limit: pageSize, after })).map(({ id }) => id),
    async (after: string) =>
      (await registry.certificates({ limit: pageSize, after })).map((each) => each.serial),
    async (after: string) => (await registry.allPairings({ limit: pageSize, after })).map(({ id }) => id),
  ])
    for (let after = ''; ; ) {
      const last = (await page(after)).at(-1);
      if (last === undefined) break;
      if (last <= after) throw new RangeError('the rows are out of order');
      after = last;
    }
  // A broken chain, or one that does not match the tables, is a finding of an audit, and does not make a backup
  // unreadable.
  await verifyAudit(registry);
  const { seq, hash } = await registry.auditHead();
  const domain = (await registry.setting('trust_domain')) ?? '';
  if (seq !== head.audit.seq || hash !== head.audit.hash || domain !== head.trustDomain)
    throw new RangeError('its head and its registry come from different backups');
  const secrets = new MemorySecretStore();
  for (const [name, secret] of Object.entries(head.secrets))
    await secrets.write(name, Buffer.from(secret, 'base64'));
  if ((await mustBelongTogether(secrets, registry)) !== head.daemonId)
    throw new RangeError('its head and its registry come from different daemons');
  const { provider } = await keyPlaceOf(registry);
  if (provider === 'secret-store')
    await mustHaveKeys(paths, parseConfig(head.config, 'The configuration'), secrets, registry);
}

/** Codes of problems with this machine, or with the user who runs the restore. */
const ofThisMachine: ReadonlySet<IdentityErrorCode> = new Set([
  'STORE_FULL',
  'STORE_PERMISSIONS',
  'REGISTRY_VERSION',
  'MASTER_KEY_WRONG',
  'SIGNER_UNAVAILABLE',
  'SIGNER_MISMATCH',
  'SIGNER_PIN_WRONG',
]);
/** Busy, locked, read-only, the disk, cannot open: https://sqlite.org/rescode.html */
const ofThisDisk: ReadonlySet<number> = new Set([5, 6, 8, 10, 13, 14]);

/**
 * Runs code that reads the backup.
 * @throws BACKUP_UNREADABLE for problems with the backup; errors of this machine
 */
export async function contentsOf<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isOfThisMachine(cause)) throw cause;
    throw unreadable(`${file} opens, but does not contain a complete daemon`, cause);
  }
}

function isOfThisMachine(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof IdentityError)
    return ofThisMachine.has(error.code) || (error.code === 'STORE_FAILED' && isOfThisMachine(error.cause));
  if ('errcode' in error) return ofThisDisk.has(Number(error.errcode) & 0xff);
  return 'syscall' in error;
}
