// Crafted backups: they open with the passphrase, but their contents are not a normal backup's. Each is
// restored completely, or refused with one code without any change.

import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { IdentityError } from '@palyra/identity';
import { type BackupHead, readBackup, writeBackup } from '../../packages/daemon/src/home/backup-file.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const passphrase = 'correct horse battery';
const quick = { passphrase, scryptLogN: 4 };

interface Original {
  readonly folder: string;
  readonly head: BackupHead;
  readonly registry: string;
}

/** A backup of a daemon with rows in every table. */
async function original(t: TestContext): Promise<Original> {
  const daemon = await TestDaemon.start(t);
  const [kept, lost] = [await makeDevice(), await makeDevice()];
  for (const each of [await pair(daemon, kept), await pair(daemon, lost)])
    await (await daemon.node(each)).status({});
  await daemon.admin.revokeDevice({ id: lost.identity.id, reason: 'stolen' });
  await request(daemon, await makeDevice());
  await daemon.admin.mintCode({});
  const folder = temporaryFolder();
  const file = join(folder, 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await daemon.stop();
  const registry = join(folder, 'registry.sqlite');
  const head = await readBackup(file, { passphrase }, async (found, bytes) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of bytes) chunks.push(chunk);
    await writeFile(registry, Buffer.concat(chunks), { mode: 0o600 });
    return found;
  });
  // Free text of a person, which is restored unchanged.
  const config = {
    trustDomain: head.trustDomain,
    pairing: { host: '127.0.0.1', port: 0 },
    node: { host: '127.0.0.1', port: 0 },
    quic: { enabled: false },
    publish: { host: '127.0.0.1' },
    metrics: { host: '127.0.0.1' as const },
    console: { enabled: false },
    limits: { liveCodes: 7 },
  };
  return { folder, head: { ...head, config }, registry };
}

/** @returns the code of the refusal; OK when it was restored. */
async function restored(folder: string, head: unknown, registry: string, what: string): Promise<string> {
  const file = join(folder, 'crafted.age');
  const home = join(folder, 'home');
  const contents = { head: head as BackupHead, registry: { path: registry, announce: async () => {} } };
  await writeBackup(file, contents, quick);
  try {
    await restoreHome(home, { file, passphrase, revokedSince: 'none' });
    return 'OK';
  } catch (error) {
    assert.ok(error instanceof IdentityError, `${what}: ${(error as Error).stack}`);
    assert.equal(error.code, 'BACKUP_UNREADABLE', `${what}: ${error.code} ${error.message}`);
    assert.match(error.message, /Nothing was changed\.$/, what);
    assert.deepEqual(await readdir(home), ['daemon'], what);
    const left = await readdir(join(home, 'daemon'));
    assert.ok(
      left.every((name) => name.startsWith('lock')),
      `${what}: ${left}`,
    );
    return error.code;
  } finally {
    for (const each of [file, home]) await rm(each, { recursive: true, force: true });
  }
}

const anything = [
  null,
  'x',
  '',
  -1,
  0.5,
  9e15,
  1e300,
  true,
  [],
  [[]],
  {},
  { a: 1 },
  '\u0000',
  'x'.repeat(70_000),
];

/** Every value in the object, with its path. */
function places(value: unknown, path: readonly string[] = []): string[][] {
  const below =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, each]) => places(each, [...path, name]))
      : [];
  return path.length > 0 ? [[...path], ...below] : below;
}

function withAt(value: unknown, [name, ...rest]: readonly string[], put: unknown): unknown {
  const copy = structuredClone(value) as Record<string, unknown>;
  if (rest.length > 0) copy[name!] = withAt(copy[name!], rest, put);
  else if (put === undefined) delete copy[name!];
  else copy[name!] = put;
  return copy;
}

test('whatever the head of a backup contains, the backup is restored or refused', async (t) => {
  const { folder, head, registry } = await original(t);
  assert.equal(await restored(folder, head, registry, 'as it was'), 'OK');
  const all = places(head);
  // The values of a configuration have their own tests.
  const tried = all.filter(([name, , deep]) => name !== 'config' || deep === undefined);
  assert.ok(tried.length > 15, String(tried.length));
  let refused = 0;
  for (const [at, path] of tried.entries()) {
    const isTop = path.length === 1 || path[0] === 'audit';
    // Every value in places with their own rules, and a few values in each other place.
    const values = isTop ? [undefined, ...anything] : [undefined, anything[at % anything.length], ['x']];
    for (const put of values) {
      const what = `${path.join('.')} = ${JSON.stringify(put)?.slice(0, 40)}`;
      const code = await restored(folder, withAt(head, path, put), registry, what);
      if (code !== 'OK') refused += 1;
      if (isTop && path[0] !== 'config') {
        if (path[0] === 'madeAtMs' || path[0] === 'secrets') continue;
        assert.equal(code, 'BACKUP_UNREADABLE', what);
      }
    }
  }
  assert.ok(refused > 100, String(refused));
  for (const [what, crafted] of Object.entries({
    'a date outside the calendar': { ...head, madeAtMs: 8.64e15 + 1 },
    'a secret name that points to another folder': {
      ...head,
      secrets: { ...head.secrets, '../../x': 'AAAA' },
    },
    'a secret without a name': { ...head, secrets: { ...head.secrets, '': 'AAAA' } },
    'a secret that is too large': {
      ...head,
      secrets: { ...head.secrets, large: Buffer.alloc(5_000_000).toString('base64') },
    },
    'another daemon': { ...head, daemonId: '01KAT0MZP8C4T7T1JQ5Z7K3QX9' },
    'another trust domain': { ...head, trustDomain: 'palyra-aaaaaaaaaa.internal' },
    'another place in the audit': { ...head, audit: { ...head.audit, seq: head.audit.seq - 1 } },
    'an extra field': { ...head, more: 1 },
    'a list': [head],
    nothing: null,
  }))
    assert.equal(await restored(folder, crafted, registry, what), 'BACKUP_UNREADABLE', what);
});

test('whatever the registry of a backup contains, the backup is restored or refused', async (t) => {
  const { folder, head, registry } = await original(t);
  const crafted = join(folder, 'crafted.sqlite');
  const look = new DatabaseSync(registry);
  const columns = (
    look
      .prepare(
        "SELECT m.name AS t, c.name AS c FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
      )
      .all() as { t: string; c: string }[]
  ).filter(({ t }) => !t.startsWith('kysely'));
  look.close();
  assert.ok(columns.length > 40);
  const values = ["'x'", '-1', '9007199254740993', "x'00'", 'NULL', '8640000000000001', "'{'", '1e300', "''"];
  const codes = new Set<string>();
  for (const [at, { t: table, c: column }] of columns.entries()) {
    for (const value of [values[at % values.length]!, values[(at + 4) % values.length]!]) {
      await cp(registry, crafted);
      const raw = new DatabaseSync(crafted, { enableForeignKeyConstraints: false });
      try {
        raw.exec(`PRAGMA ignore_check_constraints = ON; UPDATE ${table} SET ${column} = ${value}`);
      } catch {
        // A strict type, or a unique key.
        continue;
      } finally {
        raw.close();
      }
      codes.add(await restored(folder, head, crafted, `${table}.${column} = ${value}`));
    }
  }
  assert.ok(codes.has('BACKUP_UNREADABLE'));
  for (const sql of [
    // It would run with each write of the restore and of every later daemon.
    "CREATE TRIGGER again AFTER UPDATE ON devices BEGIN UPDATE devices SET state = 'active'; END",
    'CREATE VIEW seen AS SELECT * FROM devices',
    'DROP TABLE devices',
    'DELETE FROM ledger',
    'DELETE FROM settings',
    'DELETE FROM authorities',
  ]) {
    await cp(registry, crafted);
    const raw = new DatabaseSync(crafted, { enableForeignKeyConstraints: false });
    raw.exec(sql);
    raw.close();
    assert.equal(await restored(folder, head, crafted, sql), 'BACKUP_UNREADABLE', sql);
  }
  const whole = await readFile(registry);
  for (const bytes of [
    Buffer.alloc(0),
    whole.subarray(0, 4096),
    Buffer.from('no database at all'.repeat(99)),
  ]) {
    await writeFile(crafted, bytes, { mode: 0o600 });
    assert.equal(await restored(folder, head, crafted, `${bytes.length} bytes`), 'BACKUP_UNREADABLE');
  }
});
