// Programs other than the command that tests start. `npm test` builds them with the test files, because dozens of
// processes start them and the sources take half a second to load.

import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import process from 'node:process';

const repository = join(import.meta.dirname, '../..');

/** @param source path of the program. @returns its build (scripts/test/build-tests.ts), or else the source. */
export function builtProgram(source: string): string {
  const folder = process.env.PALYRA_TEST_BUILT;
  if (folder === undefined) return source;
  const built = join(folder, relative(repository, source).replace(/\.ts$/, '.js'));
  return existsSync(built) ? built : source;
}
