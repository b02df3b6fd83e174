// Synchronous replication: PostgreSQL may end the wait for a standby before the standby has the change. Nothing is acknowledged then.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { until } from '../../../../tests/testing/until.ts';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { sampleEvent } from '../testing/samples.ts';
import { openPostgresRegistry } from './open.ts';

describe('a synchronous standby that is away', { skip: missingPostgres }, () => {
  const postgres = new PostgresForTests();
  const waiting = "select pid from pg_stat_activity where wait_event = 'SyncRep'";

  /** A change whose commit waits for a standby that does not exist yet. */
  async function waitingChange(t: TestContext) {
    const registry = await openPostgresRegistry({ url: await postgres.database(), daemon: 'a' });
    t.after(() => registry.close());
    await postgres.server.alter("set synchronous_standby_names = 'standby'");
    t.after(() => postgres.server.alter('reset synchronous_standby_names'));
    const change = registry.transact(async (tx) => {
      await tx.putSetting('x', 'made');
      await tx.appendAudit(sampleEvent());
    });
    const outcome = change.then(
      () => 'acknowledged',
      (error) => String(error.code),
    );
    const [row] = await commitWaits();
    return { registry, outcome, pid: Number(row!.pid) };
  }

  const commitWaits = () =>
    until('a commit waits for the standby', async () => {
      const rows = await postgres.server.sql('postgres', waiting);
      return rows.length > 0 && rows;
    });

  for (const [title, end] of [
    [
      'a restart of the server',
      async () => {
        await postgres.server.stop();
        await postgres.server.run();
      },
    ],
    [
      'an administrator who cancels it',
      (pid: number) => postgres.server.sql('postgres', `select pg_cancel_backend(${pid})`),
    ],
    [
      'an administrator who ends its session',
      (pid: number) => postgres.server.sql('postgres', `select pg_terminate_backend(${pid})`),
    ],
  ] as const) {
    test(`a wait that is ended by ${title} goes on, and only then the change is acknowledged`, async (t) => {
      const { registry, outcome, pid } = await waitingChange(t);
      await end(pid);
      assert.equal(await Promise.race([outcome, commitWaits().then(() => 'waits')]), 'waits');
      await postgres.server.alter('reset synchronous_standby_names');
      assert.equal(await outcome, 'acknowledged');
      assert.equal(await registry.setting('x'), 'made');
    });
  }

  test('a standby that stays away makes the outcome unknown', async (t) => {
    const { outcome, pid } = await waitingChange(t);
    let isOver = false;
    void outcome.then(() => {
      isOver = true;
    });
    await postgres.server.sql('postgres', `select pg_cancel_backend(${pid})`);
    await until('it gives up', async () => {
      await postgres.server.sql('postgres', `select pg_cancel_backend(pid) from (${waiting}) as waiting`);
      return isOver;
    });
    assert.equal(await outcome, 'STORE_OUTCOME_UNKNOWN');
  });
});
