// A disk that is slow, that fails, or that loses its power, for one process. Only on Linux with a C compiler.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { oncePerFile } from './end-of-file.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** The reason to skip its tests, or false. */
export const skipBadDisk: string | false =
  (process.platform !== 'linux' || spawnSync('cc', ['--version']).status !== 0) &&
  'NOT TESTED: a bad disk needs Linux and a C compiler. Install one: sudo apt-get install gcc libc6-dev';

export interface BadDisk {
  /** What each sync takes. */
  readonly syncMs?: number;
  /** While this file exists, syncs wait. */
  readonly held?: string;
  /** While this file exists, syncs fail. */
  readonly broken?: string;
  /** A file that grows by a byte with each sync on the main thread. */
  readonly onMain?: string;
  /** A folder for a copy of each file of a registry, as of its last sync. */
  readonly synced?: string;
}

const library = oncePerFile(build);

/** @returns variables for the environment of the process. */
export function onBadDisk({ syncMs, held, broken, onMain, synced }: BadDisk): Record<string, string> {
  return {
    LD_PRELOAD: library(),
    ...(syncMs !== undefined && { PALYRA_DISK_SYNC_MS: String(syncMs) }),
    ...(held !== undefined && { PALYRA_DISK_HELD: held }),
    ...(broken !== undefined && { PALYRA_DISK_BROKEN: broken }),
    ...(onMain !== undefined && { PALYRA_DISK_ON_MAIN: onMain }),
    ...(synced !== undefined && { PALYRA_DISK_SYNCED: synced }),
  };
}

function build(): string {
  const built = join(temporaryFolder(), 'bad_disk.so');
  const { status, stderr } = spawnSync(
    'cc',
    ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', built, join(import.meta.dirname, 'bad_disk.c')],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return built;
}
