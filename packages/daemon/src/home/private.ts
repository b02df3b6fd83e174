// Checks that only its user can access a home.

import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { mustBeOwnFolder, quoted } from '@palyra/identity/files';
import { unlessMissing } from './file-error.ts';
import { daemonPaths } from './paths.ts';

/**
 * Checks the home, the daemon's folder and the files that the daemon creates there. Files of a person have their own
 * rule (`checkTrusted`).
 * @throws STORE_PERMISSIONS with every problem, and commands that repair all of them
 */
export async function mustBePrivate(home: string): Promise<void> {
  const { path, registry, secrets, masterKey } = daemonPaths(home);
  await mustBeOwnFolder(home);
  for (const folder of [home, path]) {
    const stats = await lstat(folder).catch(unlessMissing);
    if (stats && !stats.isDirectory()) {
      const what = stats.isSymbolicLink() ? 'is a symbolic link' : 'is not a folder';
      throw new IdentityError('STORE_PERMISSIONS', `${folder} ${what}. Name the folder itself.`, {
        about: 'home',
      });
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
  /** The entry that contains it, which a command repairs as a whole. */
  readonly entry: string;
}

const maxListed = 5;

function listed(found: readonly Found[]): string {
  const names = found.slice(0, maxListed).map(({ path }) => path);
  const more = found.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** The home itself may contain files that others must use. */
function commandsFor(open: readonly string[], folders: readonly string[]): string {
  const shut = open.filter((each) => folders.includes(each));
  const rest = open.filter((each) => !folders.includes(each));
  return [
    ...(shut.length > 0 ? [`chmod go= ${shut.map(quoted).join(' ')}`] : []),
    ...(rest.length > 0 ? [`chmod -R go= ${rest.map(quoted).join(' ')}`] : []),
  ].join(' && ');
}

/** Lists the entries. Opening a link is refused elsewhere. */
async function lookAt(path: string, withContent: boolean): Promise<Omit<Found, 'entry'>[]> {
  // The contents of another user's folder are hidden, but not the folder.
  const unlessHidden = (error: NodeJS.ErrnoException) =>
    error.code === 'EACCES' ? undefined : unlessMissing(error);
  const stats = await lstat(path).catch(unlessHidden);
  if (!stats || stats.isSymbolicLink()) return [];
  if (!withContent || !stats.isDirectory()) return [{ path, stats }];
  const names = (await readdir(path).catch(unlessHidden)) ?? [];
  const inside = await Promise.all(names.map((name) => lookAt(join(path, name), true)));
  return [{ path, stats }, ...inside.flat()];
}
