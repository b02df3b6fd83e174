import { equal } from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { FileLock, takeAlone } from './file-lock.ts';

test('whoever opened a file that was replaced meanwhile does not have it', async () => {
  const path = join(temporaryFolder(), 'lock');
  const late = await FileLock.open(path);
  await rm(path);
  equal(late.tryExclusive(), false, 'it is gone');
  const present = await takeAlone(path);
  equal(late.tryExclusive(), false, 'another has its place');
  equal(present?.tryExclusive(), true);
  late.close();
  present?.close();
});
