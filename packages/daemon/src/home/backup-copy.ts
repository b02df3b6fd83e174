// The copy of the registry that a backup is made from: in the home, where nobody else looks, and gone afterwards.

import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { takeAlone } from '@palyra/identity/files';
import { codeOf } from '@palyra/identity/values';
import { copySqliteRegistry } from '@palyra/registry-sql';
import { unlessExists } from './file-error.ts';
import type { DaemonPaths } from './paths.ts';

const lockName = 'lock';
/** Has the path of what is being written elsewhere. */
const unfinishedName = 'unfinished';
/** Of a backup that is being written beside its file. */
const partialName = /\.[0-9a-f]{32}\.partial$/;

export interface RegistryCopy {
  readonly path: string;
  /** Before a file of this name is made: if the backup is killed, the next one or a start removes it. */
  announce(file: string): Promise<void>;
}

/** @throws as `copySqliteRegistry` */
export async function withRegistryCopy<T>(
  paths: DaemonPaths,
  work: (copy: RegistryCopy) => Promise<T>,
): Promise<T> {
  await removeLeftCopies(paths);
  const folder = await makeFolder(paths);
  // A killed backup lets go of it, and what it left is removed.
  const lock = await takeAlone(join(folder, lockName));
  try {
    const path = join(folder, 'registry.sqlite');
    await copySqliteRegistry(paths.registry, path);
    const announce = (file: string) =>
      writeFile(join(folder, unfinishedName), resolve(file), { mode: 0o600, flush: true });
    return await work({ path, announce });
  } finally {
    lock?.close();
    await rm(folder, { recursive: true, force: true });
    await rmdir(paths.copies).catch(unlessUsed);
  }
}

/** What backups left that were killed. */
export async function removeLeftCopies({ copies }: DaemonPaths): Promise<void> {
  for (const name of await readdir(copies).catch(() => [])) {
    const folder = join(copies, name);
    // One that has no lock yet is being made, and holds nothing.
    if (!(await readdir(folder)).includes(lockName)) continue;
    const lock = await takeAlone(join(folder, lockName));
    lock?.close();
    if (!lock) continue;
    const unfinished = await readFile(join(folder, unfinishedName), 'utf8').catch(() => '');
    // Only what such a backup can have made.
    if (partialName.test(unfinished)) await rm(unfinished, { force: true }).catch(() => {});
    await rm(folder, { recursive: true, force: true });
  }
  await rmdir(copies).catch(unlessUsed);
}

async function makeFolder({ copies }: DaemonPaths): Promise<string> {
  try {
    // Not recursive: that makes ENOENT of a read-only file system.
    await mkdir(copies, { mode: 0o700 }).catch(unlessExists);
    return await mkdtemp(join(copies, 'copy-'));
  } catch (error) {
    // A home that cannot be written to can still be backed up.
    if (!['EROFS', 'EACCES'].includes(codeOf(error) ?? '')) throw error;
    return mkdtemp(join(tmpdir(), 'palyra-copy-'));
  }
}

/** Another backup is being made, or there is none to remove. */
function unlessUsed(error: NodeJS.ErrnoException): void {
  if (!['ENOENT', 'ENOTEMPTY', 'EROFS', 'EACCES'].includes(error.code ?? '')) throw error;
}
