// A disk that can be filled: a tmpfs, which only root may mount.

import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface SmallDisk {
  readonly path: string;
  /** Takes all the space there is. */
  fill(): Promise<void>;
  /** Gives it back. */
  free(): Promise<void>;
}

/** Undefined, and the test is skipped, where none can be mounted. */
export async function mountSmallDisk(t: TestContext, bytes: number): Promise<SmallDisk | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'palyra-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    await rmdir(path);
    t.skip(
      `NOT TESTED: a full disk needs a small tmpfs, and mounting one failed (be root, on Linux): ${error}`,
    );
    return undefined;
  }
  t.after(async () => {
    // Lazily: what a failed test left open must not keep the rest from being cleaned up.
    execFileSync('umount', ['--lazy', path]);
    await rmdir(path);
  });
  const filler = join(path, 'filler');
  return {
    path,
    async fill() {
      await using file = await open(filler, 'a');
      for (let chunk = 1024 * 1024; chunk >= 1; ) {
        try {
          await file.appendFile(Buffer.alloc(chunk));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
          chunk = Math.floor(chunk / 2);
        }
      }
    },
    free: () => rm(filler),
  };
}
