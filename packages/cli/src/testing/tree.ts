// Records the files below a folder, for a later comparison.

import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Shared memory of the processes that have the registry open. Even readers write to it, and SQLite recreates it. */
const sharedMemory = /registry\.sqlite-shm$/;

/** By path: kind, mode, owner, size, time of the last change, and a hash of the contents. */
export async function treeOf(folder: string): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  for (const entry of ['', ...(await readdir(folder, { recursive: true }))].sort()) {
    const path = join(folder, entry);
    const stats = await lstat(path, { bigint: true });
    const content = stats.isFile() && !sharedMemory.test(path) ? await readFile(path) : '';
    const hash = createHash('sha256').update(content).digest('hex');
    const changed = sharedMemory.test(path) ? '' : `${stats.size} ${stats.mtimeNs}`;
    tree[relative(folder, path)] = `${stats.mode.toString(8)} ${stats.uid} ${changed} ${hash}`;
  }
  return tree;
}
