// A private folder for one test.

import type { TestContext } from 'node:test';
import { temporaryFolder as newFolder } from '../../../../tests/testing/temporary-folder.ts';

export async function temporaryFolder(_t: TestContext): Promise<string> {
  return newFolder();
}
