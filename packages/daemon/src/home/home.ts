// The daemon's folder in a home: private to its user, and held by one daemon at a time.

import type { Stats } from 'node:fs';
import { lstat, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { IdentityError } from '@palyra/identity';
import {
  makeParents,
  mustBeOwnFolder,
  quoted,
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  takeByName,
  withStoreErrors,
} from '@palyra/identity/files';
import { type DaemonConfig, readConfig } from '../config.ts';
import { withFileErrors } from './file-error.ts';

/** Where everything of a daemon is. */
export interface DaemonPaths {
  readonly path: string;
  readonly config: string;
  /** Somebody has named that file, so it has to be there. */
  readonly isConfigNamed: boolean;
  /** Has the path of a configuration elsewhere, with which the daemon was started last. */
  readonly namedConfig: string;
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
  /** Nobody has started a daemon here before. */
  readonly isNew: boolean;
  /** Lets another daemon have it. */
  release(): void;
  /** As `release`. What a first start has made in a new home is removed; that a token refused its PIN is remembered. */
  abandon(): Promise<void>;
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
    // Of a restore that did not come as far as to take this one's place: what was refused since it does not know.
    await rm(join(home, restoredFolder), { recursive: true, force: true });
    const paths = daemonPaths(home);
    const present = (await readdir(path)).filter((name) => name !== 'lock.json' || before.includes(name));
    const isNew = ![paths.registry, paths.secrets].some((each) => present.includes(basename(each)));
    const release = () => lock.close();
    const abandon = async () => {
      if (!isNew) return release();
      for (const name of madeByStart(paths))
        if (!present.includes(name)) await rm(join(path, name), { recursive: true, force: true });
      // The last: whoever makes another one has the home.
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

/** All that a daemon makes in its folder, but for the lock. */
function madeByStart({
  registry,
  secrets,
  masterKey,
  adminSocket,
  copies,
  namedConfig,
}: DaemonPaths): string[] {
  const database = ['', '-journal', '-wal', '-shm'].map((end) => registry + end);
  return [...database, secrets, masterKey, adminSocket, copies, namedConfig, 'lock.json'].map((each) =>
    basename(each),
  );
}

function unlessUsed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'ENOENT') throw error;
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
  await mustBeOwnFolder(home);
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

/**
 * Where a daemon's files are that may have a configuration elsewhere.
 * @param config that file. Default: the one with which the daemon was started last.
 * @throws STORE_PERMISSIONS, STORE_FAILED for what says which one that was.
 */
export async function findDaemon(home: string, config?: string): Promise<DaemonPaths> {
  const paths = daemonPaths(home);
  const named = config ?? (await rememberedConfig(paths));
  return named === undefined ? paths : withConfig(paths, named);
}

/** As Linux has it. */
const maxPathBytes = 4096;

/** It names a file that is believed, so it is believed only where nobody else can have written it. */
async function rememberedConfig({ namedConfig }: DaemonPaths): Promise<string | undefined> {
  const bytes = await withStoreErrors(namedConfig, () => readPrivateFile(namedConfig, maxPathBytes));
  const path = bytes && Buffer.from(bytes).toString();
  if (path === undefined || isAbsolute(path)) return path;
  throw new IdentityError(
    'STORE_FAILED',
    `${namedConfig} does not name the daemon's configuration. Name it: --config FILE`,
  );
}

/**
 * For commands that change a stopped daemon.
 * @param configFile as for `findDaemon`.
 * @throws NOTHING_FOUND without a daemon in the home, HOME_IN_USE, and what the configuration says.
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

/** For commands that are not told. After a crash or on a full disk, they know the one from before. */
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

/** @param config a file elsewhere. */
export function withConfig<P extends DaemonPaths>(paths: P, config: string): P {
  return { ...paths, config: resolve(config), isConfigNamed: true };
}

export function daemonPaths(home: string, folder = 'daemon'): DaemonPaths {
  const path = join(home, folder);
  return {
    path,
    config: join(path, 'config.json'),
    isConfigNamed: false,
    namedConfig: join(path, 'config-path'),
    registry: join(path, 'registry.sqlite'),
    secrets: join(path, 'secrets'),
    masterKey: join(path, 'master.key'),
    refusedPin: join(path, 'token-pin-refused'),
    adminSocket: join(path, 'admin.sock'),
    copies: join(path, 'copies'),
  };
}

/**
 * The home, the daemon's folder and what the daemon makes there. Files that a person puts there have a rule of their own
 * (`checkTrusted`).
 * @throws STORE_PERMISSIONS naming everything that is wrong, with commands that mend all of it
 */
export async function mustBePrivate(home: string): Promise<void> {
  const { path, registry, secrets, masterKey } = daemonPaths(home);
  await mustBeOwnFolder(home);
  for (const folder of [home, path]) {
    const stats = await lstat(folder).catch(unlessMissing);
    if (stats && !stats.isDirectory()) {
      const what = stats.isSymbolicLink() ? 'is a symbolic link' : 'is not a folder';
      throw new IdentityError('STORE_PERMISSIONS', `${folder} ${what}. Name the folder itself: --home DIR`);
    }
  }
  const user = process.geteuid?.();
  if (user === undefined) return;
  const own = [join(path, 'lock'), registry, `${registry}-wal`, `${registry}-shm`, secrets, masterKey];
  const open: Found[] = [];
  const foreign: Found[] = [];
  for (const entry of [home, path, ...own]) {
    for (const found of await lookAt(entry, entry === secrets)) {
      if ((found.stats.mode & 0o077) !== 0) open.push({ ...found, entry });
      if (found.stats.uid !== user) foreign.push({ ...found, entry });
    }
  }
  if (open.length + foreign.length === 0) return;
  const entries = (found: readonly Found[]) => [...new Set(found.map(({ entry }) => entry))];
  throw new IdentityError(
    'STORE_PERMISSIONS',
    [
      ...(open.length > 0 ? [`Other users may use ${listed(open)}.`] : []),
      ...(foreign.length > 0 ? [`Another user owns ${listed(foreign)}.`] : []),
      ...(foreign.length > 0
        ? [`Run as root: chown -R ${user} ${entries(foreign).map(quoted).join(' ')}`]
        : []),
      ...(open.length > 0 ? [`Run: ${commandsFor(entries(open), [home, path])}`] : []),
    ].join('\n'),
  );
}

interface Found {
  readonly path: string;
  readonly stats: Stats;
  /** What it belongs to, which a command is to mend as a whole. */
  readonly entry: string;
}

const maxListed = 5;

function listed(found: readonly Found[]): string {
  const names = found.slice(0, maxListed).map(({ path }) => path);
  const more = found.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** In the home itself may be what others are to use. */
function commandsFor(open: readonly string[], folders: readonly string[]): string {
  const shut = open.filter((each) => folders.includes(each));
  const rest = open.filter((each) => !folders.includes(each));
  return [
    ...(shut.length > 0 ? [`chmod go= ${shut.map(quoted).join(' ')}`] : []),
    ...(rest.length > 0 ? [`chmod -R go= ${rest.map(quoted).join(' ')}`] : []),
  ].join(' && ');
}

/** What is there. A link is refused where it is opened. */
async function lookAt(path: string, withContent: boolean): Promise<Omit<Found, 'entry'>[]> {
  // What lies in another user's folder is not seen; the folder is.
  const unlessHidden = (error: NodeJS.ErrnoException) =>
    error.code === 'EACCES' ? undefined : unlessMissing(error);
  const stats = await lstat(path).catch(unlessHidden);
  if (!stats || stats.isSymbolicLink()) return [];
  if (!withContent || !stats.isDirectory()) return [{ path, stats }];
  const names = (await readdir(path).catch(unlessHidden)) ?? [];
  const inside = await Promise.all(names.map((name) => lookAt(join(path, name), true)));
  return [{ path, stats }, ...inside.flat()];
}

function inUse(home: string, holder: string): IdentityError {
  return new IdentityError(
    'HOME_IN_USE',
    `The home ${home} is in use by a daemon: ${holder}. Stop that one first, or give this one another home: --home DIR`,
  );
}

export function unlessExists(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}

export function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
