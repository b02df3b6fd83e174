// The daemon's folder in a home: private to its user, and held by one daemon at a time.

import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { IdentityError, takeByName } from '@palyra/identity';
import { withFileErrors } from './file-error.ts';

/** Where everything of a daemon is. */
export interface DaemonPaths {
  readonly path: string;
  readonly config: string;
  readonly registry: string;
  readonly secrets: string;
  readonly masterKey: string;
  /** There while a token is asked, and after it refused its PIN. */
  readonly refusedPin: string;
  readonly adminSocket: string;
  /** Copies of the registry while backups are made. */
  readonly copies: string;
}

export interface DaemonHome extends DaemonPaths {
  /** Lets another daemon have it. */
  release(): void;
}

/** A restore that is complete has this name until it takes the daemon's place. */
export const restoredFolder = 'daemon.restored';

/**
 * Makes the folder at first use and takes it. A killed daemon lets go of it.
 * @throws HOME_IN_USE naming the daemon that has it; STORE_PERMISSIONS when others can read it; STORE_FULL, STORE_FAILED.
 */
export function takeHome(home: string): Promise<DaemonHome> {
  return withFileErrors(home, () => take(home));
}

async function take(home: string): Promise<DaemonHome> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  const path = join(home, 'daemon');
  await finishRestore(home, path);
  await mkdir(path, { mode: 0o700 }).catch(unlessExists);
  for (const folder of [home, path]) await checkPrivate(folder);
  const lock = await takeByName(join(path, 'lock'), (holder) => inUse(home, holder));
  try {
    // Of a restore that did not come as far as to take this one's place: what was refused since it does not know.
    await rm(join(home, restoredFolder), { recursive: true, force: true });
  } catch (error) {
    lock.close();
    throw error;
  }
  return { ...daemonPaths(home), release: () => lock.close() };
}

/** Killed between its renames, a restore left no daemon: without this, a new one would be made in its place. */
async function finishRestore(home: string, path: string): Promise<void> {
  const isThere = await lstat(path).catch(unlessMissing);
  if (!isThere) await rename(join(home, restoredFolder), path).catch(unlessMissing);
}

/**
 * For what works on the state of a daemon and must not make one.
 * @throws NOTHING_FOUND
 */
export async function checkHome(home: string): Promise<void> {
  const { path, secrets } = daemonPaths(home);
  for (const folder of [home, path, secrets]) {
    await lstat(folder).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') return;
      throw new IdentityError(
        'NOTHING_FOUND',
        `${folder} is not there. Start the daemon once, or name the right home: --home DIR`,
        { cause },
      );
    });
  }
}

export function daemonPaths(home: string, folder = 'daemon'): DaemonPaths {
  const path = join(home, folder);
  return {
    path,
    config: join(path, 'config.json'),
    registry: join(path, 'registry.sqlite'),
    secrets: join(path, 'secrets'),
    masterKey: join(path, 'master.key'),
    refusedPin: join(path, 'token-pin-refused'),
    adminSocket: join(path, 'admin.sock'),
    copies: join(path, 'copies'),
  };
}

async function checkPrivate(folder: string): Promise<void> {
  const stats = await lstat(folder);
  const uid = process.getuid?.();
  if (!stats.isDirectory()) throw unsafe(folder, 'it is not a folder', `Choose another home.`);
  if (uid !== undefined && stats.uid !== uid) {
    throw unsafe(folder, `it belongs to user ${stats.uid}`, `Run: chown -R ${uid} ${folder}`);
  }
  if (process.platform !== 'win32' && (stats.mode & 0o077) !== 0) {
    throw unsafe(folder, 'other users can enter it', `Run: chmod 700 ${folder}`);
  }
}

function unsafe(folder: string, why: string, what: string): IdentityError {
  return new IdentityError('STORE_PERMISSIONS', `The folder ${folder} is not private: ${why}. ${what}`);
}

function inUse(home: string, holder: string): IdentityError {
  return new IdentityError(
    'HOME_IN_USE',
    `The home ${home} is in use by a daemon: ${holder}. Stop that one first, or give this one another home: --home DIR`,
  );
}

export function unlessExists(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

export function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
