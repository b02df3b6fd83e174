// Folders for tests. They go when the process of the test file ends: a test's own hooks run in the order in which they
// were made, so one that removes a folder would run before those that end the programs in it, and not at all after one
// that fails.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

const made: string[] = [];

/** Its path; 0700. @param parent default: the system's folder for temporary files. */
export function temporaryFolder(parent = tmpdir()): string {
  if (made.length === 0) process.on('exit', removeAll);
  const folder = mkdtempSync(join(parent, 'palyra-'));
  made.push(folder);
  return folder;
}

function removeAll(): void {
  for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
