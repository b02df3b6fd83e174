// Where a run makes the folders of its files. Tests make thousands of databases and sync every write to them: in memory
// that costs nothing, and no test is about the disk itself.

import { readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import process from 'node:process';

export const memory = '/dev/shm';
/** Ten times what a run has been seen to use at once. */
const enoughBytes = 2 * 1024 ** 3;

/** In memory, where there is enough of it and programs may be started from there; TMPDIR if that is set. */
export function placeForFolders(): string {
  return process.env.TMPDIR === undefined && isGoodPlace(memory) ? memory : tmpdir();
}

/** Linux only. */
function isGoodPlace(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    const [, , type, options = ''] = mounts.findLast((line) => line.split(' ')[1] === path)?.split(' ') ?? [];
    return type === 'tmpfs' && !options.split(',').includes('noexec') && bavail * bsize >= enoughBytes;
  } catch {
    return false;
  }
}
