// A disk that a test can fill: a tmpfs, which only root can mount.

import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface SmallDisk {
  readonly path: string;
  /** Fills the disk. */
  fill(): Promise<void>;
  /** Frees the space. */
  free(): Promise<void>;
}

/** Mounts one. Returns undefined and skips the test if that is impossible. */
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
    // A lazy unmount, so that files left open by a failed test do not prevent the cleanup.
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
