// A backup is one age file (age-encryption.org/v1, scrypt): a line that says what it is, the secrets as a line of JSON,
// and the registry as SQLite wrote it. Made while the daemon runs; `age -d` opens it too.

import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync, backup as sqliteBackup } from 'node:sqlite';
import { Readable } from 'node:stream';
import {
  type AuthorityKeys,
  type Clock,
  type DeviceId,
  FilesystemSecretStore,
  IdentityError,
  IdentityManager,
  type KeyPlace,
  keyPlaceOf,
  putRestored,
  type Registry,
  systemClock,
} from '@palyra/identity';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { Decrypter, Encrypter } from 'age-encryption';
import { z } from 'zod';
import { openCaKeys } from './ca-key.ts';
import { parseConfig, readConfig } from './config.ts';
import { withFileErrors } from './file-error.ts';
import { checkHome, daemonPaths, takeHome } from './home.ts';
import { openMasterKey } from './master-key.ts';
import { shutOutAgain, takeEveryRole } from './shut-out.ts';

const magic = 'palyra-backup-v1';
/** The first two lines; the rest is streamed. */
const maxHeadBytes = 64 * 1024 * 1024;
const minPassphraseLength = 8;
/** log2 of scrypt's N: seconds for each guess at the passphrase, and for opening the backup. */
const SCRYPT_LOG_N = 18;

const headSchema = z.strictObject({
  madeAtMs: z.number().int().positive(),
  daemonId: z.string(),
  trustDomain: z.string(),
  config: z.unknown(),
  secrets: z.record(z.string(), z.base64()),
});
type Head = z.infer<typeof headSchema>;

export interface BackupSummary {
  readonly madeAt: Date;
  readonly daemonId: string;
  readonly trustDomain: string;
  readonly devices: number;
  /** Where the keys of the CA are. Those in a token are not in the backup. */
  readonly caKeys: KeyPlace;
}

/**
 * Writes a consistent copy of a daemon's state, also while it runs. The file is there whole or not at all.
 * @param options.scryptLogN default 18; lower is for tests alone.
 * @param options.clock default: the system's.
 * @throws MESSAGE_INVALID for a passphrase that is too short, NOTHING_FOUND without a daemon in the home, STORE_FULL, STORE_FAILED, and what the stores say.
 */
export async function backupHome(
  homePath: string,
  file: string,
  passphrase: string,
  options: { readonly scryptLogN?: number; readonly clock?: Clock } = {},
): Promise<BackupSummary> {
  if (passphrase.length < minPassphraseLength) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      `A backup's passphrase has at least ${minPassphraseLength} characters.`,
    );
  }
  await checkHome(homePath);
  const paths = daemonPaths(homePath);
  const copy = `${file}.registry`;
  const partial = `${file}.partial`;
  try {
    return await withFileErrors(file, async () => {
      // The registry first: every authority in it then has its key among the secrets, which are written before.
      await copyRegistry(paths.registry, copy);
      const registry = await openSqliteRegistry({ path: copy });
      const madeAt = (options.clock ?? systemClock).now();
      const daemonId = (await registry.setting('daemon_id')) ?? '';
      const trustDomain = (await registry.setting('trust_domain')) ?? '';
      const { devices } = await registry.counts();
      const caKeys = await keyPlaceOf(registry);
      await registry.close();
      const config = await readConfig(paths.config);
      const secrets = await readSecrets(paths, config);
      const head: Head = { madeAtMs: madeAt.getTime(), daemonId, trustDomain, config, secrets };
      const encrypter = new Encrypter();
      encrypter.setPassphrase(passphrase);
      encrypter.setScryptWorkFactor(options.scryptLogN ?? SCRYPT_LOG_N);
      const plain = Readable.toWeb(Readable.from(contents(head, copy))) as ReadableStream<Uint8Array>;
      await writeWhole(partial, await encrypter.encrypt(plain));
      await rename(partial, file);
      return { madeAt, daemonId, trustDomain, devices, caKeys };
    });
  } finally {
    for (const left of [copy, `${copy}-wal`, `${copy}-shm`, partial]) await rm(left, { force: true });
  }
}

export interface RestoreOptions {
  readonly file: string;
  readonly passphrase: string;
  /**
   * Devices that were revoked after the backup was made; `none` when the operator knows that there were none. Undefined
   * only where the registry that is being replaced can still be read, which then tells.
   */
  readonly revokedSince?: readonly DeviceId[] | 'none';
  /** Default: the system's. */
  readonly clock?: Clock;
}

export interface RestoreSummary extends BackupSummary {
  /** Revoked again, because the backup was older than their revocation. */
  readonly revoked: readonly DeviceId[];
  /** Where the state from before went. */
  readonly replaced: string | undefined;
}

/**
 * Puts a backup in place of a stopped daemon's state. What was revoked since stays revoked; devices that were paired or
 * renewed since come back by their identity key or pair again, and codes and requests from before are over. The state from before is kept beside it.
 * @throws BACKUP_UNREADABLE for a wrong passphrase or a damaged file; REVOCATIONS_UNKNOWN when nobody can say what was
 *   revoked since; HOME_IN_USE; STORE_FULL; STORE_FAILED.
 */
export async function restoreHome(homePath: string, options: RestoreOptions): Promise<RestoreSummary> {
  const clock = options.clock ?? systemClock;
  const home = await takeHome(homePath);
  const staging = join(homePath, 'daemon.restoring');
  try {
    return await withFileErrors(homePath, async () => {
      await rm(staging, { recursive: true, force: true });
      await mkdir(staging, { mode: 0o700 });
      const paths = daemonPaths(homePath, 'daemon.restoring');
      const head = await unpack(options, paths.registry);
      const madeAt = new Date(head.madeAtMs);
      const config = parseConfig(head.config, 'The configuration in the backup');
      await writeFile(paths.config, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
      const secrets = await FilesystemSecretStore.open({
        path: paths.secrets,
        masterKey: await openMasterKey(config, paths),
      });
      const registry = await openSqliteRegistry({ path: paths.registry });
      let keys: AuthorityKeys | undefined;
      try {
        for (const [name, secret] of Object.entries(head.secrets)) {
          await secrets.write(name, Buffer.from(secret, 'base64'));
        }
        keys = await openCaKeys(config, { ...paths, refusedPin: home.refusedPin }, secrets, registry);
        const identity = await IdentityManager.open({ secrets, registry, authorityKeys: keys, clock });
        const told = await askReplaced(identity, home.registry);
        if (told === undefined && options.revokedSince === undefined) throw revocationsUnknown(madeAt);
        if (told === undefined) await takeEveryRole(identity);
        const revoked = [...(told ?? []), ...(await revokeStated(identity, options))];
        await identity.desk.endForRestore();
        await markRestored(registry, head, revoked.length, clock.now());
        const { devices } = await registry.counts();
        const caKeys = await keyPlaceOf(registry);
        await registry.close();
        await secrets.close();
        home.release();
        const replaced = await putInPlace(homePath, staging, clock.now());
        return {
          madeAt,
          daemonId: head.daemonId,
          trustDomain: head.trustDomain,
          devices,
          caKeys,
          revoked,
          replaced,
        };
      } finally {
        await keys?.close();
        await registry.close();
        await secrets.close();
      }
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
    home.release();
  }
}

async function copyRegistry(from: string, to: string): Promise<void> {
  await stat(from);
  await rm(to, { force: true });
  await (await open(to, 'wx', 0o600)).close();
  const source = new DatabaseSync(from, { readOnly: true, timeout: 5_000 });
  try {
    await sqliteBackup(source, to);
  } finally {
    source.close();
  }
}

async function readSecrets(
  paths: ReturnType<typeof daemonPaths>,
  config: Awaited<ReturnType<typeof readConfig>>,
): Promise<Record<string, string>> {
  const store = await FilesystemSecretStore.open({
    path: paths.secrets,
    masterKey: await openMasterKey(config, paths),
  });
  try {
    const names = await store.list();
    const entries = await Promise.all(
      names.map(async (name) => [name, Buffer.from(await store.read(name)).toString('base64')] as const),
    );
    return Object.fromEntries(entries);
  } finally {
    await store.close();
  }
}

async function* contents(head: Head, registry: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${magic}\n${JSON.stringify(head)}\n`);
  yield* createReadStream(registry);
}

async function writeWhole(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of bytes) await file.write(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Decrypts the registry into its file and returns the rest. */
async function unpack({ file, passphrase }: RestoreOptions, registry: string): Promise<Head> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  const encrypted = Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>;
  await stat(file);
  try {
    const plain = await decrypter.decrypt(encrypted);
    const chunks = plain[Symbol.asyncIterator]();
    let start = Buffer.alloc(0);
    let end = -1;
    while (end < 0) {
      const { value, done } = await chunks.next();
      if (done || start.length > maxHeadBytes) throw new Error('it does not begin as a backup does');
      start = Buffer.concat([start, value]);
      end = start.indexOf(10, magic.length + 1);
    }
    if (!start.subarray(0, magic.length + 1).equals(Buffer.from(`${magic}\n`)))
      throw new Error('it is no backup');
    const head = headSchema.parse(JSON.parse(start.subarray(magic.length + 1, end).toString()));
    await writeWhole(registry, rest(start.subarray(end + 1), chunks));
    return head;
  } catch (cause) {
    // The disk's own errors are said as what they are.
    if (cause instanceof Error && 'code' in cause && 'syscall' in cause) throw cause;
    throw new IdentityError(
      'BACKUP_UNREADABLE',
      `${file} cannot be opened: the passphrase is wrong, or the file is damaged or no backup. Nothing was changed.`,
      { cause },
    );
  }
}

async function* rest(first: Uint8Array, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
}

/** Undefined when the registry that is being replaced cannot be read. */
async function askReplaced(identity: IdentityManager, path: string): Promise<DeviceId[] | undefined> {
  try {
    await stat(path);
    const before = await openSqliteRegistry({ path });
    try {
      return await shutOutAgain(identity, before);
    } finally {
      await before.close();
    }
  } catch {
    // It is lost: that is why there is a restore. The operator is asked instead.
    return undefined;
  }
}

async function revokeStated(
  identity: IdentityManager,
  { revokedSince = 'none' }: RestoreOptions,
): Promise<DeviceId[]> {
  const revoked: DeviceId[] = [];
  for (const id of new Set(revokedSince === 'none' ? [] : revokedSince)) {
    const device = await identity.registry.device(id);
    // One that was paired and revoked since is unknown here, and nothing of it will be accepted.
    if (!device || device.state === 'revoked') continue;
    await identity.revokeDevice(id, 'revoked before the restore');
    revoked.push(id);
  }
  return revoked;
}

async function markRestored(registry: Registry, head: Head, revoked: number, now: Date): Promise<void> {
  await registry.transact(async (tx) => {
    await putRestored(tx, { atMs: now.getTime(), madeAtMs: head.madeAtMs });
    await tx.appendAudit({
      at: now,
      action: 'daemon.restored',
      subject: head.daemonId,
      detail: { backupMadeAt: new Date(head.madeAtMs).toISOString(), revokedAgain: revoked },
    });
  });
}

/** Two renames; in between there is no daemon folder, and the next start would say so by its missing secrets. */
async function putInPlace(homePath: string, staging: string, now: Date): Promise<string | undefined> {
  const present = join(homePath, 'daemon');
  const before = join(homePath, `daemon.before-restore-${now.getTime()}`);
  const hadState = (await readdir(present)).some((name) => name === 'registry.sqlite');
  if (hadState) await rename(present, before);
  else await rm(present, { recursive: true });
  await rename(staging, present);
  return hadState ? before : undefined;
}

function revocationsUnknown(madeAt: Date): IdentityError {
  return new IdentityError(
    'REVOCATIONS_UNKNOWN',
    `The backup was made at ${madeAt.toISOString()}, and the registry it would replace cannot be read: a device that was revoked since would come back. Name those: --revoked ID (as often as needed), or say that there were none: --none-revoked`,
  );
}
