// A backup: the whole state of a daemon in one encrypted file (backup-file.ts), made while the daemon runs: by another process, or
// by the daemon itself (backup-schedule.ts).

import type { BigIntStats } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { IdentityError } from '@palyra/identity';
import { checkStrength, type KeyPlace, keyPlaceOf, type SecretReader } from '@palyra/identity/keys';
import { type AuditRow, mustBelongTogether, type RegistryReads } from '@palyra/identity/registry';
import { type Clock, systemClock } from '@palyra/identity/values';
import { lookAtSqliteRegistry } from '@palyra/registry-sql';
import { type DaemonConfig, type DaemonConfigInput, parseConfig, readConfigInput } from '../config.ts';
import { withRegistryCopy } from './backup-copy.ts';
import { type BackupHead, mustNotExist, readBackupHead, writeBackup } from './backup-file.ts';
import type { BackupKey } from './backup-key.ts';
import { readCaKeys } from './ca-key.ts';
import { unlessMissing, withFileErrors } from './file-error.ts';
import { checkHome, findDaemon } from './home.ts';
import { readSecrets } from './open-home.ts';
import type { DaemonPaths } from './paths.ts';
import { isShared } from './registry-place.ts';
import { sizeOfSharedRegistry } from './shared-database.ts';

/** log2 of scrypt's N: seconds for each guess at the passphrase, and for opening the backup. */
export const SCRYPT_LOG_N = 18;

export interface BackupSummary {
  readonly madeAt: Date;
  readonly daemonId: string;
  readonly trustDomain: string;
  readonly devices: number;
  /** The place of the CA keys. Keys in a token are not in the backup. */
  readonly caKeys: KeyPlace;
}

export interface BackupOptions {
  /** Replace an earlier backup of this daemon with the same passphrase. Default: replace no file. */
  readonly replace?: boolean;
  /** The daemon's configuration. Default: the one used at its last start. */
  readonly configFile?: string;
  /** Default 18; lower values only for tests. */
  readonly scryptLogN?: number;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Ends the work with its reason, and leaves no file. */
  readonly signal?: AbortSignal;
}

/**
 * Writes a consistent copy of a daemon's state, even while it runs. The file is written whole or not at all.
 * @throws PASSPHRASE_WEAK, NOTHING_FOUND without a daemon in the home, REGISTRY_LOST when
 *   registry and secrets do not belong together or one is missing, BACKUP_EXISTS for a file that is not to be replaced,
 *   STORE_FULL, STORE_FAILED, errors of the stores, and the reason of the signal.
 */
export async function backupHome(
  homePath: string,
  file: string,
  passphrase: string,
  options: BackupOptions = {},
): Promise<BackupSummary> {
  const { replace = false, scryptLogN = SCRYPT_LOG_N, clock = systemClock, signal } = options;
  await checkStrength(passphrase);
  await checkHome(homePath);
  if (!replace) await mustNotExist(file);
  const paths = await findDaemon(homePath, options.configFile);
  // The configuration as written, so that missing fields get the defaults of the restoring daemon.
  const input = await readConfigInput(paths.config, { mustExist: paths.isConfigNamed });
  const config = parseConfig(input, paths.config);
  const write = withFileErrors(file, () =>
    // The registry is copied first. Every authority in it then has its key among the secrets, which are written
    // earlier.
    withRegistryCopy(
      paths,
      config,
      async (registry) => {
        const secrets = await readSecrets(paths, config);
        try {
          const state = { paths, input, config, secrets };
          const { head, ...counted } = await describe(state, registry.path, clock.now());
          const earlier = replace ? await earlierFile(file, passphrase, head, registry.path) : undefined;
          await writeBackup(file, { head, registry }, { passphrase, scryptLogN }, { earlier, signal });
          return summaryOf(head, counted);
        } finally {
          await secrets.close();
        }
      },
      signal,
    ),
  );
  return write.catch((error) => {
    signal?.throwIfAborted();
    throw error;
  });
}

/** The state of a daemon, as its own process has it open. */
export interface DaemonState {
  readonly paths: DaemonPaths;
  /** The configuration as written, and as read. */
  readonly input: unknown;
  readonly config: DaemonConfig;
  readonly secrets: SecretReader;
}

/**
 * A running daemon backs itself up, into a file that must not exist.
 * @throws REGISTRY_LOST, BACKUP_EXISTS, BACKUP_UNREADABLE, STORE_FULL, STORE_PERMISSIONS, STORE_FAILED, and the reason
 *   of the signal.
 */
export async function backUpOwn(
  state: DaemonState,
  file: string,
  key: BackupKey,
  { now, signal }: { readonly now: Date; readonly signal: AbortSignal },
): Promise<BackupSummary> {
  signal.throwIfAborted();
  await mustNotExist(file);
  await withFileErrors(state.paths.path, () => mustHaveRoom(state));
  return withFileErrors(file, () =>
    withRegistryCopy(
      state.paths,
      state.config,
      async (registry) => {
        signal.throwIfAborted();
        const { head, ...counted } = await describe(state, registry.path, now);
        await writeBackup(file, { head, registry }, key, { signal });
        return summaryOf(head, counted);
      },
      signal,
    ),
  );
}

/** What must stay free on the disk of the home while a copy of the registry is there, bytes. */
const roomBytes = 64 * 1024 * 1024;

/** A backup must not fill the disk on which the daemon works. @throws STORE_FULL */
async function mustHaveRoom({ paths: { path, registry }, config }: DaemonState): Promise<void> {
  const { bavail, bsize } = await statfs(path);
  const size = isShared(config) ? await sizeOfSharedRegistry(config) : (await stat(registry)).size;
  if (bavail * bsize >= size + roomBytes) return;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
  throw new IdentityError(
    'STORE_FULL',
    `A backup needs ${megabytes(size + roomBytes)} of free space on the disk of ${path}, where ${megabytes(bavail * bsize)} are free. Nothing was changed.`,
  );
}

function summaryOf(
  { madeAtMs, daemonId, trustDomain }: BackupHead,
  counted: Pick<BackupSummary, 'devices' | 'caKeys'>,
): BackupSummary {
  return { madeAt: new Date(madeAtMs), daemonId, trustDomain, ...counted };
}

/** Refuses a backup that could not be restored, because an incomplete copy might replace a good backup. */
function describe(
  { paths, input, config, secrets }: DaemonState,
  copy: string,
  now: Date,
): Promise<{ head: BackupHead; devices: number; caKeys: KeyPlace }> {
  return lookAtSqliteRegistry({ path: copy }, async (registry) => {
    const daemonId = await mustBelongTogether(secrets, registry);
    const caKeys = await keyPlaceOf(registry);
    if (caKeys.provider === 'secret-store') await mustHaveKeys(paths, config, secrets, registry);
    const { devices } = await registry.counts();
    const head: BackupHead = {
      madeAtMs: now.getTime(),
      daemonId,
      trustDomain: (await registry.setting('trust_domain')) ?? '',
      audit: await registry.auditHead(),
      config: inFile(input as DaemonConfigInput),
      secrets: await readAll(secrets),
    };
    return { head, devices, caKeys };
  });
}

/** A backup of a fleet is restored into one home, with its registry in a file. */
function inFile({ registry: _, ...config }: DaemonConfigInput): DaemonConfigInput {
  return config;
}

/** @throws SECRET_NOT_FOUND naming the authority */
export async function mustHaveKeys(
  paths: DaemonPaths,
  config: DaemonConfig,
  secrets: SecretReader,
  registry: RegistryReads,
): Promise<void> {
  const keys = await readCaKeys({ ...config, caKey: undefined }, paths, secrets, registry);
  for (const { id, tier, state } of await registry.authorities()) {
    const isReplaced = tier === 'issuing' && state === 'trusted';
    if (state !== 'retired' && !isReplaced) await keys.load(id);
  }
}

async function readAll(secrets: SecretReader): Promise<Record<string, string>> {
  const names = await secrets.list();
  const entries = await Promise.all(
    names.map(async (name) => [name, Buffer.from(await secrets.read(name)).toString('base64')] as const),
  );
  return Object.fromEntries(entries);
}

/** The existing file, if any. @throws BACKUP_EXISTS unless it is an earlier backup of this daemon. */
async function earlierFile(
  file: string,
  passphrase: string,
  { daemonId, audit }: BackupHead,
  copy: string,
): Promise<BigIntStats | undefined> {
  const found = await stat(file, { bigint: true }).catch(unlessMissing);
  if (!found) return undefined;
  const old = await readBackupHead(file, { passphrase }).catch((error) => {
    if (error instanceof IdentityError && error.code === 'BACKUP_UNREADABLE')
      throw mayNotReplace(file, 'it is not a backup with this passphrase');
    throw error;
  });
  if (old.daemonId !== daemonId) throw mayNotReplace(file, `it belongs to another daemon, ${old.daemonId}`);
  const before = await lookAtSqliteRegistry({ path: copy }, (registry) => auditRow(registry, old.audit.seq));
  if (old.audit.seq > audit.seq || before?.hash !== old.audit.hash)
    throw mayNotReplace(file, 'it contains events that this daemon does not know, or no longer knows');
  return found;
}

/** The row with this number, if there is one. */
export async function auditRow(
  registry: Pick<RegistryReads, 'audit'>,
  seq: number,
): Promise<AuditRow | undefined> {
  const [row] = await registry.audit({ limit: 1, before: seq + 1 });
  return row?.seq === seq ? row : undefined;
}

function mayNotReplace(file: string, why: string): IdentityError {
  return new IdentityError(
    'BACKUP_EXISTS',
    `${file} was not replaced: ${why}. Choose another name, or remove the file yourself.`,
  );
}
