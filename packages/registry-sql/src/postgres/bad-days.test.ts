// The behaviour of a daemon whose database is away, slow, full, read-only, older, or lacks a right: each case has a code, no
// acknowledged change is lost, and the daemon recovers by itself where that is safe.

import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { hasCode } from '@palyra/identity';
import { type ListenerErrors, verifyAuditChain } from '@palyra/identity/registry';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { until } from '../../../../tests/testing/until.ts';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { sampleEvent } from '../testing/samples.ts';
import { sha256Hex } from '../testing/sha256.ts';
import { lookAtPostgresRegistry, openPostgresRegistry } from './open.ts';
import type { PostgresRegistry } from './registry.ts';
import { MessageRelay } from './testing/message-relay.ts';

describe('the bad days of a PostgreSQL registry', { skip: missingPostgres }, () => {
  const postgres = new PostgresForTests();

  async function open(
    t: TestContext,
    url: string,
    daemon = 'a',
    onError: ListenerErrors = () => {},
  ): Promise<PostgresRegistry> {
    const registry = await openPostgresRegistry({ url, daemon, onError });
    t.after(() => registry.close());
    return registry;
  }

  const put = (registry: PostgresRegistry, name: string) =>
    registry.transact(async (tx) => {
      await tx.putSetting(name, 'made');
      await tx.appendAudit(sampleEvent());
    });

  async function mustVerify(registry: PostgresRegistry, rows: number): Promise<void> {
    const head = await registry.auditHead();
    assert.equal(head.seq, rows);
    assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
  }

  test('without the server everything is STORE_UNREACHABLE, and works again when the server is back', async (t) => {
    const reported: unknown[] = [];
    const registry = await open(t, await postgres.database(), 'a', (error) => reported.push(error));
    await put(registry, 'before');
    await postgres.server.stop();
    try {
      await until('the log says so', () => reported.length > 0);
      await assert.rejects(put(registry, 'lost'), { code: 'STORE_UNREACHABLE' });
      await assert.rejects(registry.setting('before'), { code: 'STORE_UNREACHABLE' });
      await assert.rejects(registry.upToDate(), { code: 'STORE_UNREACHABLE' });
      await assert.rejects(registry.snapshot(), { code: 'STORE_UNREACHABLE' });
    } finally {
      await postgres.server.run();
    }
    await put(registry, 'after');
    await registry.upToDate();
    assert.equal(await registry.setting('before'), 'made');
    assert.equal(await registry.setting('lost'), undefined);
    await mustVerify(registry, 2);
    assert.equal(reported.length, 1, 'once, however many look');
    assert.ok(hasCode(reported[0], 'STORE_UNREACHABLE'));
  });

  test('after a crash of the server every acknowledged change is there', async (t) => {
    const registry = await open(t, await postgres.database());
    const made = new Set<string>();
    const changes = Array.from({ length: 100 }, async (_, number) => {
      // Several commits instead of one.
      for (let step = 0; step < 5; step += 1) {
        const name = `change ${number}, step ${step}`;
        await put(registry, name);
        made.add(name);
      }
    });
    const all = Promise.allSettled(changes);
    await until('some changes are made', () => made.size > 20);
    await postgres.server.kill();
    const outcomes = await all.finally(() => postgres.server.run());
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        assert.ok(
          hasCode(outcome.reason, 'STORE_UNREACHABLE') || hasCode(outcome.reason, 'STORE_OUTCOME_UNKNOWN'),
          String(outcome.reason),
        );
    for (const name of made) assert.equal(await registry.setting(name), 'made', name);
    const head = await registry.auditHead();
    assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
  });

  test('connections that an administrator ends are reopened', async (t) => {
    const url = await postgres.database();
    const registry = await open(t, url);
    await put(registry, 'before');
    for (let round = 0; round < 3; round += 1) {
      await postgres.server.sql(
        'postgres',
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'palyra'`,
      );
      await registry.upToDate().catch((error) => assert.equal(error.code, 'STORE_UNREACHABLE'));
      await put(registry, `after ${round}`).catch((error) => assert.equal(error.code, 'STORE_UNREACHABLE'));
      await registry.upToDate();
      assert.equal(await registry.setting('before'), 'made');
    }
  });

  for (const [reaches, answer] of [
    [true, 'made'],
    [false, undefined],
  ] as const)
    test(`a commit whose answer is lost ${reaches ? 'and that reached the server is reported as made' : 'and that did not reach the server is reported as not made'}`, async (t) => {
      const url = await postgres.database();
      const relay = await MessageRelay.listen(t, url);
      const registry = await open(t, relay.url);
      await put(registry, 'before');
      relay.cutAt('commit', reaches);
      const done = put(registry, 'lost');
      if (reaches) await done;
      else await assert.rejects(done, { code: 'STORE_UNREACHABLE' });
      assert.ok(relay.hasCut);
      assert.equal(await registry.setting('lost'), answer);
      await put(registry, 'after');
      await mustVerify(registry, reaches ? 3 : 2);
    });

  test('a daemon that stops during a change delays the others for a few seconds only', async (t) => {
    const url = await postgres.database();
    const [stopped, other] = [await open(t, url, 'stopped'), await open(t, url, 'other')];
    const began = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const change = stopped.transact(async (tx) => {
      await tx.putSetting('half', 'made');
      began.resolve();
      await goOn.promise;
    });
    await began.promise;
    await put(other, 'meanwhile');
    goOn.resolve();
    await assert.rejects(change, { code: 'STORE_UNREACHABLE' });
    assert.equal(await other.setting('half'), undefined);
    await put(stopped, 'again');
    await mustVerify(other, 2);
  });

  test('a change that waits too long for others is refused, and succeeds at the next try', async (t) => {
    const url = await postgres.database();
    const registry = await open(t, url);
    const admin = await postgres.server.hold(url, 'begin; select * from ledger for update');
    const refused = put(registry, 'x');
    await assert.rejects(refused, { code: 'STORE_UNREACHABLE' });
    await admin.end();
    await put(registry, 'x');
    await mustVerify(registry, 1);
  });

  test('a full table space is STORE_FULL, and nothing is changed', async (t) => {
    const url = await postgres.database();
    const registry = await open(t, url);
    // The server's code for a full disk.
    await postgres.server.sql(
      url,
      `create function full_disk() returns trigger language plpgsql as
       $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
       create trigger full_disk before insert on audit execute function full_disk()`,
    );
    await assert.rejects(put(registry, 'x'), { code: 'STORE_FULL' });
    assert.equal(await registry.setting('x'), undefined);
    await postgres.server.sql(url, 'drop trigger full_disk on audit');
    await put(registry, 'x');
  });

  test('a server without a free connection is STORE_UNREACHABLE', async (t) => {
    const url = await postgres.database();
    await postgres.server.sql(url, 'create role few login connection limit 0');
    await postgres.server.sql(url, 'grant all on all tables in schema public to few');
    const few = url.replace(/user=\w+/, 'user=few');
    await assert.rejects(openPostgresRegistry({ url: few, daemon: 'a' }), { code: 'STORE_UNREACHABLE' });
    t.diagnostic('53300');
  });

  test('a user without a right is STORE_PERMISSIONS, and changes nothing', async () => {
    const url = await postgres.database();
    await postgres.server.sql(
      url,
      'create role reader login; grant select on all tables in schema public to reader',
    );
    const reader = url.replace(/user=\w+/, 'user=reader');
    const registry = await openPostgresRegistry({ url: reader, daemon: 'a' });
    await assert.rejects(put(registry, 'x'), { code: 'STORE_PERMISSIONS' });
    assert.equal(await registry.setting('x'), undefined);
    await registry.close();
  });

  test('an unknown user, a missing database and a closed port have separate codes', async () => {
    const url = await postgres.database();
    for (const [wrong, code] of [
      [url.replace(/user=\w+/, 'user=nobody'), 'STORE_PERMISSIONS'],
      [url.replace(/\/test_\d+/, '/none'), 'STORE_FAILED'],
      ['postgres://user@127.0.0.1:1/db', 'STORE_UNREACHABLE'],
      [url.replace(/host=[^&]*/, 'host=%2Fnone'), 'STORE_UNREACHABLE'],
    ] as const)
      await assert.rejects(openPostgresRegistry({ url: wrong, daemon: 'a' }), { code }, wrong);
  });

  test('a standby is STORE_UNREACHABLE, because what it shows may be old, until it is the primary', async (t) => {
    const url = await postgres.database();
    const registry = await open(t, url);
    await put(registry, 'before');
    await postgres.server.stop();
    await postgres.server.runAsStandby();
    try {
      await assert.rejects(registry.upToDate(), { code: 'STORE_UNREACHABLE' });
      await assert.rejects(registry.setting('before'), { code: 'STORE_UNREACHABLE' });
      await assert.rejects(openPostgresRegistry({ url, daemon: 'b' }), { code: 'STORE_UNREACHABLE' });
    } finally {
      await postgres.server.promote();
    }
    await registry.upToDate();
    await put(registry, 'after');
    await mustVerify(registry, 2);
  });

  test('a schema of a newer version is REGISTRY_VERSION, and nothing is changed', async () => {
    const url = await postgres.database();
    await postgres.server.sql(url, `insert into kysely_migration values ('9999-newer', '2030-01-01')`);
    await assert.rejects(openPostgresRegistry({ url, daemon: 'a' }), { code: 'REGISTRY_VERSION' });
    await assert.rejects(
      lookAtPostgresRegistry(url, async () => {}),
      { code: 'REGISTRY_VERSION' },
    );
  });

  test('a newer schema that only adds is used by daemons of this version, so that they can be replaced one by one', async (t) => {
    const url = await postgres.database();
    const before = await open(t, url, 'before');
    await postgres.server.sql(
      url,
      `insert into kysely_migration values ('9998-adds-labels', '2030-01-01');
       alter table devices add column added text; create table added (id text)`,
    );
    await put(before, 'running');
    const after = await open(t, url, 'after');
    await put(after, 'started later');
    assert.equal(await before.setting('started later'), 'made');
    await lookAtPostgresRegistry(url, async (registry) => {
      assert.equal(await registry.setting('running'), 'made');
    });
    await mustVerify(after, 2);
  });

  test('a daemon refuses a database that lost a change which the daemon has seen, and uses it again when the change is back', async (t) => {
    const url = await postgres.database();
    const registry = await open(t, url);
    await put(registry, 'one');
    await put(registry, 'two');
    const saved =
      'create table saved as select * from ledger; create table saved_audit as select * from audit';
    await postgres.server.sql(url, saved);
    // Like after a restore of an older dump.
    await postgres.server.sql(
      url,
      `delete from audit where seq = 2;
       update ledger set audit_seq = 1, audit_hash = (select hash from audit where seq = 1)`,
    );
    await assert.rejects(registry.upToDate(), { code: 'REGISTRY_WENT_BACK' });
    await assert.rejects(put(registry, 'three'), { code: 'REGISTRY_WENT_BACK' });
    // The database has grown again, with other changes.
    await postgres.server.sql(
      url,
      `insert into audit select 2, at, action, subject, detail_json, previous_hash, repeat('a', 64) from saved_audit where seq = 1;
       update ledger set audit_seq = 2, audit_hash = repeat('a', 64)`,
    );
    await assert.rejects(registry.upToDate(), { code: 'REGISTRY_WENT_BACK' }, 'on connections that stood');
    await assert.rejects(put(registry, 'three'), { code: 'REGISTRY_WENT_BACK' });
    await postgres.server.sql(
      url,
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'palyra' and datname = current_database()`,
    );
    await until('it is noticed on new connections', () =>
      registry.upToDate().then(
        () => assert.fail('it is believed'),
        (error) => hasCode(error, 'REGISTRY_WENT_BACK'),
      ),
    );
    await assert.rejects(put(registry, 'three'), { code: 'REGISTRY_WENT_BACK' });
    await postgres.server.sql(
      url,
      'delete from audit; insert into audit select * from saved_audit; update ledger set audit_seq = 2, audit_hash = (select audit_hash from saved)',
    );
    await registry.upToDate();
    await put(registry, 'three');
    await mustVerify(registry, 3);
  });

  test('a server that does not write to the disk is refused', async () => {
    await postgres.server.alter("set fsync = 'off'");
    try {
      await assert.rejects(openPostgresRegistry({ url: await postgres.database(), daemon: 'a' }), {
        code: 'STORE_FAILED',
        message: /fsync/,
      });
    } finally {
      await postgres.server.alter('reset fsync');
    }
  });

  test('a setting that acknowledges before the write to disk is overridden', async () => {
    await postgres.server.alter("set synchronous_commit = 'off'");
    try {
      const url = await postgres.database();
      const registry = await openPostgresRegistry({ url, daemon: 'a' });
      await put(registry, 'x');
      await registry.close();
    } finally {
      await postgres.server.alter('reset synchronous_commit');
    }
  });

  test('a server that is not PostgreSQL or never answers is STORE_UNREACHABLE', async (t) => {
    for (const talk of [
      (socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
      (socket: Socket) => socket.resume(),
    ]) {
      const folder = temporaryFolder();
      const server: Server = createServer(talk).listen(join(folder, '.s.PGSQL.5432'));
      t.after(() => server.close());
      const url = `postgres:///db?host=${encodeURIComponent(folder)}&user=u`;
      await assert.rejects(openPostgresRegistry({ url, daemon: 'a' }), { code: 'STORE_UNREACHABLE' });
    }
  });
});
