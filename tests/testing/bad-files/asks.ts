// A test that passes only if nothing of another file is left.

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { oncePerFile } from '../end-of-file.ts';
import { temporaryFolder } from '../temporary-folder.ts';

/** Of all files in the process, and new for each. */
const folder = oncePerFile(temporaryFolder);

export function asks(name: string): void {
  test(name, () => {
    assert.deepEqual(readdirSync(tmpdir()), []);
    assert.equal(process.env.PALYRA_TEST_LEFT, undefined);
    writeFileSync(join(folder(), 'file'), '');
    console.log(`process ${process.pid}`);
  });
}
