// The daemon's folder in a home. It is private to its user, and used by one daemon at a time.

import { lstat, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import {
  makeParents,
  mustBeOwnFolder,
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  takeByName,
  withStoreErrors,
} from '@palyra/identity/files';
import { type DaemonConfig, readConfig } from '../config.ts';
import { unlessExists, unlessMissing, withFileErrors } from './file-error.ts';
import { type DaemonPaths, daemonPaths, withConfig } from './paths.ts';
import { mustBePrivate } from './private.ts';

export interface DaemonHome extends DaemonPaths {
  /** Whether no daemon was ever started here. */
  readonly isNew: boolean;
  /** Releases the home for another daemon. */
  release(): void;
  /** Like `release`, but removes the files of a first start in a new home, except the mark of a refused PIN. */
  abandon(): Promise<void>;
}

/** The folder of a complete restore until it replaces the daemon's folder. */
export const restoredFolder = 'daemon.restored';

/**
 * Locks the folder, and creates it at first use. The lock of a killed daemon is released.
 * @throws HOME_IN_USE with the daemon that holds it; STORE_PERMISSIONS if others can read it; STORE_FULL, STORE_FAILED.
 */
export function takeHome(home: string): Promise<DaemonHome> {
  return withFileErrors(home, () => take(home));
}

async function take(home: string): Promise<DaemonHome> {
  await mustBeOwnFolder(home);
  const firstMade = await makeParents(home);
  const path = join(home, 'daemon');
  await finishRestore(home, path);
  const isMade = await mkdir(path, { mode: 0o700 }).then(() => true, unlessExists);
  await mustBePrivate(home);
  const before = await readdir(path);
  const lockPath = join(path, 'lock');
  const lock = await takeByName(lockPath, (holder) => inUse(home, holder));
  try {
    // The folder of an incomplete restore, which does not know later refusals.
    await rm(join(home, restoredFolder), { recursive: true, force: true });
    const paths = daemonPaths(home);
    const present = (await readdir(path)).filter((name) => name !== 'lock.json' || before.includes(name));
    const isNew = ![paths.registry, paths.secrets, paths.fleet].some((each) =>
      present.includes(basename(each)),
    );
    const release = () => lock.close();
    const abandon = async () => {
      if (!isNew) return release();
      for (const name of madeByStart(paths))
        if (!present.includes(name)) await rm(join(path, name), { recursive: true, force: true });
      // Removed last, because the creator of a new lock file owns the home.
      if (!before.includes(basename(lockPath))) await rm(lockPath, { force: true });
      release();
      if (isMade) await rmdir(path).catch(unlessUsed);
      for (let made = home; firstMade && made.length >= firstMade.length; made = dirname(made))
        await rmdir(made).catch(unlessUsed);
    };
    return { ...paths, isNew, release, abandon };
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** Everything that a daemon creates in its folder, except the lock. */
function madeByStart({
  registry,
  secrets,
  masterKey,
  adminSocket,
  copies,
  namedConfig,
  fleet,
}: DaemonPaths): string[] {
  const database = ['', '-journal', '-wal', '-shm'].map((end) => registry + end);
  return [...database, secrets, masterKey, adminSocket, copies, namedConfig, fleet, 'lock.json'].map((each) =>
    basename(each),
  );
}

function unlessUsed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'ENOENT') throw error;
}

/** Completes a restore that was killed between its renames. Otherwise a start would create a new daemon. */
async function finishRestore(home: string, path: string): Promise<void> {
  const isThere = await lstat(path).catch(unlessMissing);
  if (!isThere) await rename(join(home, restoredFolder), path).catch(unlessMissing);
}

/**
 * For commands that need an existing daemon and must not create one.
 * @throws NOTHING_FOUND
 */
export async function checkHome(home: string): Promise<void> {
  const { path, secrets, fleet } = daemonPaths(home);
  await mustBeOwnFolder(home);
  // A daemon with its registry in PostgreSQL has its secrets there too.
  const isShared = (await lstat(fleet).catch(unlessMissing)) !== undefined;
  for (const folder of [home, path, ...(isShared ? [] : [secrets])]) {
    await lstat(folder).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') return;
      throw new IdentityError('NOTHING_FOUND', `${folder} does not exist.`, { cause, about: 'home' });
    });
  }
}

/**
 * Finds the files of a daemon, whose configuration may be elsewhere.
 * @param config the configuration. Default: the one used at the last start.
 * @throws STORE_PERMISSIONS, STORE_FAILED for the record of the last configuration.
 */
export async function findDaemon(home: string, config?: string): Promise<DaemonPaths> {
  const paths = daemonPaths(home);
  const named = config ?? (await rememberedConfig(paths));
  return named === undefined ? paths : withConfig(paths, named);
}

/** The limit of Linux. */
const maxPathBytes = 4096;

/** The record names a trusted file, so it is used only if nobody else can have written it. */
async function rememberedConfig({ namedConfig }: DaemonPaths): Promise<string | undefined> {
  const bytes = await withStoreErrors(namedConfig, () => readPrivateFile(namedConfig, maxPathBytes));
  const path = bytes && Buffer.from(bytes).toString();
  if (path === undefined || isAbsolute(path)) return path;
  throw new IdentityError('STORE_FAILED', `${namedConfig} does not name the daemon's configuration.`, {
    about: 'configuration',
  });
}

/**
 * For commands that change a stopped daemon.
 * @param configFile as for `findDaemon`.
 * @throws NOTHING_FOUND without a daemon in the home, HOME_IN_USE, and errors of the configuration.
 */
export async function withStoppedDaemon<T>(
  homePath: string,
  configFile: string | undefined,
  work: (home: DaemonHome, config: DaemonConfig) => Promise<T>,
): Promise<T> {
  await checkHome(homePath);
  const taken = await takeHome(homePath);
  try {
    const home = { ...taken, ...(await findDaemon(homePath, configFile)) };
    return await work(home, await readConfig(home.config, { mustExist: home.isConfigNamed }));
  } finally {
    taken.release();
  }
}

/** For commands without --config. After a crash or on a full disk, they find the previous one. */
export async function rememberConfig({
  path,
  config,
  isConfigNamed,
  namedConfig,
}: DaemonPaths): Promise<void> {
  await withStoreErrors(namedConfig, async () => {
    await removeLeftovers(path, namedConfig);
    if (isConfigNamed) await replaceFile(namedConfig, Buffer.from(config));
    else await rm(namedConfig, { force: true });
  });
}

function inUse(home: string, holder: string): IdentityError {
  return new IdentityError('HOME_IN_USE', `The home ${home} is in use by a daemon: ${holder}.`, {
    about: 'home',
  });
}
