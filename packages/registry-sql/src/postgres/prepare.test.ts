// Migrations beside daemons of the version before, which go on.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until, within } from '../../../../tests/testing/until.ts';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { sampleEvent } from '../testing/samples.ts';
import { openPostgresRegistry } from './open.ts';
import { prepareForRole } from './rights.ts';

/** Undoes the last migration. Daemons that run need none of this as long as nobody connects a device. */
const undoPeers = `
  drop table channels; drop table due_work; alter table daemons drop column about;
  delete from kysely_migration where name = '0003-peers'`;

describe('a migration beside daemons that serve', { skip: missingPostgres }, () => {
  const postgres = new PostgresForTests();

  test('waits for a long read, and keeps nobody else waiting meanwhile', async (t) => {
    const url = await postgres.database();
    const registry = await openPostgresRegistry({ url, daemon: 'before' });
    t.after(() => registry.close());
    await postgres.server.sql(url, undoPeers);
    const backup = await postgres.server.hold(
      url,
      'begin; select * from certificates; select * from daemons',
    );
    const owner = postgres.server.url(new URL(url).pathname.slice(1));
    let isPrepared = false;
    const preparing = prepareForRole(owner, 'daemons').then(() => {
      isPrepared = true;
    });
    preparing.catch(() => {});
    let longestMs = 0;
    // Each wait of the migration ends with a rollback. To see one while it lasts would need luck.
    const rollbacks = async () => {
      const [row] = await postgres.server.sql(
        url,
        'select xact_rollback from pg_stat_database where datname = current_database()',
      );
      return Number(row?.xact_rollback);
    };
    const before = await rollbacks();
    await until('the migration has waited more than once', async () => {
      const startedAt = performance.now();
      await registry.transact((tx) => tx.appendAudit(sampleEvent()));
      await registry.upToDate();
      longestMs = Math.max(longestMs, performance.now() - startedAt);
      return (await rollbacks()) > before + 2;
    });
    assert.equal(isPrepared, false);
    await backup.end();
    await within('the migration ends', preparing);
    await registry.transact((tx) => tx.appendAudit(sampleEvent()));
    assert.equal((await postgres.server.sql(url, 'select * from channels')).length, 0);
    t.diagnostic(`a change and a read took ${Math.round(longestMs)} ms at most`);
  });
});
