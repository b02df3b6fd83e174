import assert from 'node:assert/strict';
import { join } from 'node:path';
import { StatementSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { registrySuite } from '../testing/registry-suite.ts';
import { openSqliteRegistry } from './open.ts';

registrySuite('SQLite in memory', (onError) => openSqliteRegistry({ path: ':memory:', onError }));

registrySuite('SQLite', (onError) =>
  openSqliteRegistry({ path: join(temporaryFolder(), 'registry.sqlite'), onError }),
);

test('changes that can be neither committed nor rolled back fail, stay invisible and never take effect', async (t) => {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  const put = (name: string) => registry.transact((tx) => tx.putSetting(name, 'made'));
  await put('before');
  const disk = failing(t, ['COMMIT', 'ROLLBACK']);
  const answers = await Promise.allSettled(Array.from({ length: 50 }, (_, at) => put(`lost ${at}`)));
  for (const answer of answers)
    assert.equal(answer.status === 'rejected' && answer.reason.code, 'STORE_FAILED');
  await assert.rejects(registry.setting('lost 0'), { code: 'STORE_FAILED' });

  disk.mock.restore();
  assert.equal(await registry.setting('lost 0'), undefined);
  assert.equal(await registry.setting('before'), 'made');
  await put('after');
  assert.equal(await registry.setting('after'), 'made');
  assert.equal(await registry.setting('lost 49'), undefined);
});

test('a change does not commit an earlier one that could not be rolled back', async (t) => {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  const disk = failing(t, ['COMMIT', 'ROLLBACK']);
  await assert.rejects(
    registry.transact((tx) => tx.putSetting('lost', 'made')),
    { code: 'STORE_FAILED' },
  );
  disk.mock.restore();
  await registry.transact((tx) => tx.putSetting('after', 'made'));
  assert.equal(await registry.setting('lost'), undefined);
  assert.equal(await registry.setting('after'), 'made');
});

/** Simulates a disk that fails during these statements, with SQLite's error. */
function failing(t: TestContext, statements: readonly string[]) {
  const { run } = StatementSync.prototype;
  return t.mock.method(
    StatementSync.prototype,
    'run',
    function (this: StatementSync, ...parameters: Parameters<typeof run>) {
      if (statements.includes(this.sourceSQL))
        throw Object.assign(new Error('disk I/O error'), { errcode: 10 });
      return run.apply(this, parameters);
    },
  );
}
