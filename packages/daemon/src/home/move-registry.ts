// Moves the registry and the secrets of a stopped daemon from its home into a PostgreSQL database, which other daemons may then
// share. The files stay in the home, under another name. move-back.ts is the way back.

import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemSecretStore, type MasterKey } from '@palyra/identity';
import { syncFolder } from '@palyra/identity/files';
import { newPassphraseHeader } from '@palyra/identity/keys';
import { type RunningClock, systemClock } from '@palyra/identity/values';
import type { Moved } from '@palyra/registry-sql/postgres';
import type { DaemonConfig } from '../config.ts';
import { unlessMissing, withFileErrors } from './file-error.ts';
import { newFleetMemory, writeFleetFile } from './fleet-file.ts';
import { type DaemonHome, withStoppedDaemon } from './home.ts';
import { openMasterKey, readPassphrase } from './master-key.ts';
import type { DaemonPaths } from './paths.ts';
import { readUrl } from './shared-database.ts';

export interface MovedRegistry extends Moved {
  /** The folder with the files that were moved away. */
  readonly aside: string;
}

export interface MoveRegistryOptions {
  /** The daemon's configuration. Default: the one used at its last start. */
  readonly configFile?: string;
  readonly clock?: RunningClock;
}

/**
 * The database has everything, verified, before anything in the home changes. A move that was interrupted continues.
 * @param urlFile the file with the URL of an empty database.
 * @throws NOTHING_FOUND without a daemon in the home; HOME_IN_USE; MESSAGE_INVALID for a database that is not empty;
 *   AUDIT_BROKEN naming what differs; errors of the stores.
 */
export function moveRegistry(
  homePath: string,
  urlFile: string,
  options: MoveRegistryOptions = {},
): Promise<MovedRegistry> {
  const { configFile, clock = systemClock } = options;
  return withStoppedDaemon(homePath, configFile, async (home, found) => {
    const config = { ...found, registry: { from: 'postgres', urlFile, listen: true } } as const;
    const url = await readUrl(config);
    const masterKey = await openMasterKey(config, home, { mustExist: true });
    const secrets = await secretsOf(home, masterKey);
    const key = await keyForFleet(config, masterKey);
    const { moveIntoPostgres } = await import('@palyra/registry-sql/postgres');
    const moved = await moveIntoPostgres({ path: home.registry, url, ...key, secrets });
    const { seq, hash } = moved;
    await writeFleetFile(home, { ...newFleetMemory(clock), seen: { seq, hash } });
    return { ...moved, aside: await putAside(home, clock.now()) };
  });
}

async function secretsOf(
  { secrets: path }: DaemonHome,
  masterKey: MasterKey,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const store = await FilesystemSecretStore.open({ path, masterKey });
  const secrets = new Map<string, Uint8Array>();
  try {
    for (const name of await store.list()) secrets.set(name, await store.read(name));
  } finally {
    await store.close();
  }
  return secrets;
}

/** A passphrase gives the fleet a new key, whose header is in the database. */
async function keyForFleet(
  { masterKey: source }: DaemonConfig,
  masterKey: MasterKey,
): Promise<{ readonly masterKey: MasterKey; readonly passphraseHeader?: Uint8Array }> {
  if (source.from !== 'passphrase-file') return { masterKey };
  const made = await newPassphraseHeader({ passphrase: await readPassphrase(source.path) });
  return { masterKey: made.masterKey, passphraseHeader: made.header };
}

/**
 * Puts the files of a registry into a folder of their own. The secrets go last: with them, an interrupted move can be repeated.
 * @returns the folder.
 */
export async function putAside(
  { path, registry, secrets }: Pick<DaemonPaths, 'path' | 'registry' | 'secrets'>,
  now: Date,
): Promise<string> {
  const aside = join(path, `moved-${now.toISOString().replaceAll(/[:.]/g, '-')}`);
  return withFileErrors(aside, async () => {
    await mkdir(aside, { mode: 0o700 });
    for (const end of ['-wal', '-shm', ''])
      await rename(registry + end, join(aside, `registry.sqlite${end}`)).catch(unlessMissing);
    await rename(secrets, join(aside, 'secrets')).catch(unlessMissing);
    await syncFolder(aside);
    await syncFolder(path);
    return aside;
  });
}
