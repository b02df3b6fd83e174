// Passes beside other files only if nothing of them is left.

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { oncePerFile } from '../end-of-file.ts';
import { temporaryFolder } from '../temporary-folder.ts';

const folder = oncePerFile(temporaryFolder);

test('a next test that finds nothing of another file', () => {
  assert.deepEqual(readdirSync(tmpdir()), []);
  assert.equal(process.env.PALYRA_TEST_LEFT, undefined);
  writeFileSync(join(folder(), 'file'), '');
  console.log(`process ${process.pid}`);
});
