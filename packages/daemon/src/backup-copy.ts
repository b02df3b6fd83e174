// The copy of the registry that a backup is made from: in the home, where nobody else looks, and gone afterwards.

import { mkdir, mkdtemp, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copySqliteRegistry } from '@palyra/registry-sql';
import { type DaemonPaths, takeLock } from './home.ts';

const lockName = 'lock';

/**
 * @param work is given the copy's path.
 * @throws as `copySqliteRegistry`
 */
export async function withRegistryCopy<T>(
  paths: DaemonPaths,
  work: (copy: string) => Promise<T>,
): Promise<T> {
  await removeLeftCopies(paths);
  const folder = await makeFolder(paths);
  // The kernel's: a killed backup lets go of it, and what it left is removed.
  const lock = takeLock(join(folder, lockName));
  try {
    const copy = join(folder, 'registry.sqlite');
    await copySqliteRegistry(paths.registry, copy);
    return await work(copy);
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
    const lock = takeLock(join(folder, lockName));
    lock?.close();
    if (lock) await rm(folder, { recursive: true, force: true });
  }
  await rmdir(copies).catch(unlessUsed);
}

async function makeFolder({ copies }: DaemonPaths): Promise<string> {
  try {
    await mkdir(copies, { mode: 0o700, recursive: true });
    return await mkdtemp(join(copies, 'copy-'));
  } catch (error) {
    // A home that cannot be written to can still be backed up.
    if (!['EROFS', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return mkdtemp(join(tmpdir(), 'palyra-copy-'));
  }
}

/** Another backup is being made, or there is none to remove. */
function unlessUsed(error: NodeJS.ErrnoException): void {
  if (!['ENOENT', 'ENOTEMPTY', 'EROFS', 'EACCES'].includes(error.code ?? '')) throw error;
}
