// Moves the registry and the secrets of a stopped daemon from its home into a PostgreSQL database, which other daemons may then
// share. The files stay in the home, under another name.

import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemSecretStore } from '@palyra/identity';
import { syncFolder } from '@palyra/identity/files';
import { type RunningClock, systemClock } from '@palyra/identity/values';
import type { Moved } from '@palyra/registry-sql/postgres';
import { unlessMissing, withFileErrors } from './file-error.ts';
import { newFleetMemory, writeFleetFile } from './fleet-file.ts';
import { type DaemonHome, withStoppedDaemon } from './home.ts';
import { openMasterKey } from './master-key.ts';
import { mustSuitFleet } from './registry-place.ts';
import { readUrl } from './shared-database.ts';

export interface MovedRegistry extends Moved {
  /** The folder with the files that were moved away. */
  readonly aside: string;
}

/**
 * The database has everything, verified, before anything in the home changes. A move that was interrupted continues.
 * @param urlFile the file with the URL of an empty database.
 * @param options.configFile the daemon's configuration. Default: the one used at its last start.
 * @throws NOTHING_FOUND without a daemon in the home; HOME_IN_USE; MESSAGE_INVALID for a database that is not empty, or
 *   settings that a fleet cannot have; AUDIT_BROKEN naming what differs; errors of the stores.
 */
export function moveRegistry(
  homePath: string,
  urlFile: string,
  options: { readonly configFile?: string; readonly clock?: RunningClock } = {},
): Promise<MovedRegistry> {
  const { configFile, clock = systemClock } = options;
  return withStoppedDaemon(homePath, configFile, async (home, found) => {
    const config = { ...found, registry: { from: 'postgres', urlFile, listen: true } } as const;
    mustSuitFleet(config);
    const url = await readUrl(config);
    const masterKey = await openMasterKey(config, home, { mustExist: true });
    const store = await FilesystemSecretStore.open({ path: home.secrets, masterKey });
    const secrets = new Map<string, Uint8Array>();
    try {
      for (const name of await store.list()) secrets.set(name, await store.read(name));
    } finally {
      await store.close();
    }
    const { moveIntoPostgres } = await import('@palyra/registry-sql/postgres');
    const moved = await moveIntoPostgres({ path: home.registry, url, masterKey, secrets });
    const { seq, hash } = moved;
    await writeFleetFile(home, { ...newFleetMemory(clock), seen: { seq, hash } });
    return { ...moved, aside: await putAside(home, clock.now()) };
  });
}

/** The secrets go last: with them, an interrupted move can be repeated. */
async function putAside({ path, registry, secrets }: DaemonHome, now: Date): Promise<string> {
  const aside = join(path, `moved-${now.toISOString().replaceAll(/[:.]/g, '-')}`);
  await withFileErrors(aside, async () => {
    await mkdir(aside, { mode: 0o700 });
    for (const end of ['-wal', '-shm', ''])
      await rename(registry + end, join(aside, `registry.sqlite${end}`)).catch(unlessMissing);
    await rename(secrets, join(aside, 'secrets'));
    await syncFolder(aside);
    await syncFolder(path);
  });
  return aside;
}
