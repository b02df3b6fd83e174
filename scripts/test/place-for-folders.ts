// Chooses the place for the folders of test files. Tests create thousands of databases and sync every write. In memory
// that is free, and no test needs the disk itself.

import { readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import process from 'node:process';

export const memory = '/dev/shm';
/** Ten times the observed use of a run. */
const enoughBytes = 2 * 1024 ** 3;

/** TMPDIR if it is set; otherwise memory, if there is enough and programs can be started from there. */
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
