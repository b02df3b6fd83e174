// Moves the registry and the secrets of a fleet from their database into the home of one stopped daemon. The database serves
// nobody from then on. move-registry.ts is the way there.

import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemSecretStore, IdentityError } from '@palyra/identity';
import { syncFolder } from '@palyra/identity/files';
import { systemClock } from '@palyra/identity/values';
import type { Moved } from '@palyra/registry-sql/postgres';
import type { DaemonConfig } from '../config.ts';
import { unlessMissing, withFileErrors } from './file-error.ts';
import { readFleetFile, removeFleetFile } from './fleet-file.ts';
import { type DaemonHome, withStoppedDaemon } from './home.ts';
import { openMasterKey } from './master-key.ts';
import { type MoveRegistryOptions, putAside } from './move-registry.ts';
import { isShared, type SharedDatabaseConfig } from './registry-place.ts';
import { readSharedSecrets, readUrl } from './shared-database.ts';

/**
 * The files are complete and verified before the database is marked, and they are put into place after that. A move that was
 * interrupted continues.
 * @throws NOTHING_FOUND without a daemon in the home; HOME_IN_USE; REGISTRY_IN_USE while another daemon was seen recently;
 *   MESSAGE_INVALID for a home without a database; AUDIT_BROKEN naming what differs; errors of the stores.
 */
export function moveRegistryBack(homePath: string, options: MoveRegistryOptions = {}): Promise<Moved> {
  const { configFile, clock = systemClock } = options;
  return withStoppedDaemon(homePath, configFile, async (home, config) => {
    if (!isShared(config)) throw notShared();
    const memory = await readFleetFile(home);
    if (!memory) throw noMember(home);
    const staging = join(home.path, 'moving');
    const files = { registry: join(staging, 'registry.sqlite'), secrets: join(staging, 'secrets') };
    const { moveIntoFile } = await import('@palyra/registry-sql/postgres');
    const moved = await moveIntoFile({
      url: await readUrl(config),
      path: files.registry,
      daemon: memory.daemon,
      seen: memory.seen,
      async begin(wasMarked) {
        for (const path of [home.registry, home.secrets])
          if (await isThere(path)) {
            if (!wasMarked) throw isInTheWay(path);
            // An earlier attempt has put it there, and no daemon was started with it.
            await putAside(home, clock.now());
            break;
          }
        await withFileErrors(staging, async () => {
          await rm(staging, { recursive: true, force: true });
          await mkdir(staging, { mode: 0o700 });
        });
      },
      async finish() {
        await copySecrets(home, config, files.secrets);
        await withFileErrors(staging, () => syncFolder(staging));
      },
    });
    await withFileErrors(home.path, async () => {
      await rename(files.secrets, home.secrets);
      await rename(files.registry, home.registry);
      await syncFolder(home.path);
    });
    // The last step: with this file, a daemon does not start with files, and the move can be repeated.
    await removeFleetFile(home);
    await withFileErrors(staging, () => rm(staging, { recursive: true, force: true }));
    return moved;
  });
}

/** The key file and the credential stay as they are. A passphrase gives the files a key of their own. */
async function copySecrets(home: DaemonHome, config: SharedDatabaseConfig, path: string): Promise<void> {
  const from = await readSharedSecrets(home, config);
  try {
    const inFile: DaemonConfig = { ...config, registry: { from: 'file' } };
    const masterKey = await openMasterKey(
      inFile,
      { ...home, secrets: path },
      { mustExist: config.masterKey.from !== 'passphrase-file' },
    );
    const to = await FilesystemSecretStore.open({ path, masterKey });
    try {
      for (const name of await from.list()) await to.write(name, await from.read(name));
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(unlessMissing)) !== undefined;
}

function notShared(): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    'The registry of this home is not in PostgreSQL: its configuration names no database in "registry".',
    { about: 'configuration' },
  );
}

function noMember({ fleet }: DaemonHome): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `${fleet} does not exist: this daemon was never started with the database. Move the registry in the home of a daemon that was.`,
    { about: 'home' },
  );
}

function isInTheWay(path: string): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `${path} is there already. Nothing was changed. Look where it comes from, and move it away.`,
    { about: 'home' },
  );
}
