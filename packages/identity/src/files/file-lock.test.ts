import { equal } from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { FileLock, takeAlone } from './file-lock.ts';

test('a lock on a file that was replaced in the meantime does not count', async () => {
  const path = join(temporaryFolder(), 'lock');
  const late = await FileLock.open(path);
  await rm(path);
  equal(late.tryExclusive(), false, 'the file was removed');
  const present = await takeAlone(path);
  equal(late.tryExclusive(), false, 'another file has its path');
  equal(present?.tryExclusive(), true);
  late.close();
  present?.close();
});
