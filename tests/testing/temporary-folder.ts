// Temporary folders for tests, removed when the process of the test file ends. A test's own hooks run in the order of
// their creation, so a hook that removes a folder would run before those that end the programs in it, and not at all
// after a failing one.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

const made: string[] = [];

/** @returns the path of a new folder, 0700. @param parent default: the system's folder for temporary files. */
export function temporaryFolder(parent = tmpdir()): string {
  if (made.length === 0) process.on('exit', removeAll);
  const folder = mkdtempSync(join(parent, 'palyra-'));
  made.push(folder);
  return folder;
}

function removeAll(): void {
  for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
