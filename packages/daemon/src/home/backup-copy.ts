// The copy of the registry for a backup. It is in the home, where nobody else can read it, and removed afterwards.

import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { takeAlone } from '@palyra/identity/files';
import { codeOf } from '@palyra/identity/values';
import { copySqliteRegistry } from '@palyra/registry-sql';
import type { DaemonConfig } from '../config.ts';
import { unlessExists } from './file-error.ts';
import type { DaemonPaths } from './paths.ts';
import { isShared } from './registry-place.ts';
import { copySharedRegistry } from './shared-database.ts';

const lockName = 'lock';
/** A file with the path of an unfinished backup elsewhere. */
const unfinishedName = 'unfinished';
/** Name of an unfinished backup beside its final file. */
const partialName = /\.[0-9a-f]{32}\.partial$/;

export interface RegistryCopy {
  readonly path: string;
  /** Records a file before its creation, so that the next backup or start removes it if this backup is killed. */
  announce(file: string): Promise<void>;
}

/** @throws as `copySqliteRegistry` and `copyPostgresRegistry`, and the reason of the signal, which ends the copying. */
export async function withRegistryCopy<T>(
  paths: DaemonPaths,
  config: DaemonConfig,
  work: (copy: RegistryCopy) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  await removeLeftCopies(paths);
  const folder = await makeFolder(paths);
  // A killed backup releases the lock, and its files are removed.
  const lock = await takeAlone(join(folder, lockName));
  try {
    const path = join(folder, 'registry.sqlite');
    await (isShared(config)
      ? copySharedRegistry(config, path, signal)
      : copySqliteRegistry(paths.registry, path, signal));
    const announce = (file: string) =>
      writeFile(join(folder, unfinishedName), resolve(file), { mode: 0o600, flush: true });
    return await work({ path, announce });
  } finally {
    lock?.close();
    await rm(folder, { recursive: true, force: true });
    await rmdir(paths.copies).catch(unlessUsed);
  }
}

/** Removes the files of killed backups. */
export async function removeLeftCopies({ copies }: DaemonPaths): Promise<void> {
  for (const name of await readdir(copies).catch(() => [])) {
    const folder = join(copies, name);
    // A folder without a lock is being created, and is empty.
    if (!(await readdir(folder)).includes(lockName)) continue;
    const lock = await takeAlone(join(folder, lockName));
    lock?.close();
    if (!lock) continue;
    const unfinished = await readFile(join(folder, unfinishedName), 'utf8').catch(() => '');
    // Removes only files that such a backup can have created.
    if (partialName.test(unfinished)) await rm(unfinished, { force: true }).catch(() => {});
    await rm(folder, { recursive: true, force: true });
  }
  await rmdir(copies).catch(unlessUsed);
}

async function makeFolder({ copies }: DaemonPaths): Promise<string> {
  try {
    // Not recursive, because that reports ENOENT for a read-only file system.
    await mkdir(copies, { mode: 0o700 }).catch(unlessExists);
    return await mkdtemp(join(copies, 'copy-'));
  } catch (error) {
    // A read-only home can still be backed up.
    if (!['EROFS', 'EACCES'].includes(codeOf(error) ?? '')) throw error;
    return mkdtemp(join(tmpdir(), 'palyra-copy-'));
  }
}

/** Ignores that another backup is running, or that there is nothing to remove. */
function unlessUsed(error: NodeJS.ErrnoException): void {
  if (!['ENOENT', 'ENOTEMPTY', 'EROFS', 'EACCES'].includes(error.code ?? '')) throw error;
}
