// Temporary folders for tests, removed at the end of the test file. A test's own hooks run in the order of their creation, so a hook
// that removes a folder would run before those that end the programs in it, and not at all after a failing one.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEndOfFile, oncePerFile } from './end-of-file.ts';

const made = oncePerFile(() => {
  const folders: string[] = [];
  atEndOfFile(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return folders;
});

/** @returns the path of a new folder, 0700. @param parent default: the system's folder for temporary files. */
export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'palyra-'));
  made().push(folder);
  return folder;
}
