import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { copySqliteRegistry } from './copy.ts';
import { openSqliteRegistry } from './open.ts';

test('a copy of a large registry ends on a signal, with its reason', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  await registry.transact((tx) => tx.putSetting('large', 'x'.repeat(20_000_000)));
  await registry.close();
  const to = join(folder, 'copy.sqlite');
  const stop = new AbortController();
  const copying = copySqliteRegistry(path, to, stop.signal).then(
    () => 'copied',
    (error) => error,
  );
  const size = async () => (await stat(to).catch(() => undefined))?.size ?? 0;
  while ((await size()) === 0) await setImmediate();
  const reason = new Error('enough');
  stop.abort(reason);
  assert.equal(await copying, reason);
});
