import assert from 'node:assert/strict';
import { chmod, chown, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { hasCode, type IdentityErrorCode } from '@palyra/identity';
import { addDevice, sampleEvent, sampleUlid, waitingPairing } from '../testing/samples.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { openSqliteRegistry } from './open.ts';

test('written data is there after closing and reopening', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  const first = await openSqliteRegistry({ path });
  const { device, certificate } = await addDevice(first);
  const waiting = waitingPairing();
  await first.transact(async (tx) => {
    await tx.insertPairing(waiting);
    await tx.appendAudit(sampleEvent());
  });
  const [counts, head] = [await first.counts(), await first.auditHead()];
  await first.close();

  const second = await openSqliteRegistry({ path });
  assert.deepEqual(await second.device(device.id), device);
  assert.deepEqual(await second.certificate({ serial: certificate.serial }), certificate);
  assert.deepEqual(await second.waitingPairing(waiting.slot), waiting);
  assert.deepEqual(await second.counts(), counts);
  assert.deepEqual(await second.auditHead(), head);
  await second.close();
});

test('other connections already see a change when its listener is called', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  const other = new DatabaseSync(path);
  const seen: unknown[] = [];
  registry.subscribe(() =>
    seen.push(other.prepare("SELECT value FROM settings WHERE name = 'a'").get()?.value),
  );
  await registry.transact(async (tx) => {
    await tx.putSetting('a', '1');
    tx.emit({ type: 'device_revoked', deviceId: sampleUlid(), reason: '' });
  });
  assert.deepEqual(seen, ['1']);
  other.close();
  await registry.close();
});

test('the file, its log and its shared memory are private whatever the umask', async (t) => {
  const folder = await temporaryFolder(t);
  const umask = process.umask(0o000);
  t.after(() => process.umask(umask));
  const registry = await openSqliteRegistry({ path: join(folder, 'registry.sqlite') });
  await addDevice(registry);
  const files = await readdir(folder);
  assert.deepEqual(files.sort(), ['registry.sqlite', 'registry.sqlite-shm', 'registry.sqlite-wal']);
  for (const file of files) assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600, file);
  await registry.close();
});

test('a file that others can read is STORE_PERMISSIONS', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  await (await openSqliteRegistry({ path })).close();
  for (const mode of [0o640, 0o604, 0o620]) {
    await chmod(path, mode);
    await refuses(path, 'STORE_PERMISSIONS', /chmod 600/);
  }
  await chmod(path, 0o600);
  await writeFile(`${path}-wal`, '', { mode: 0o644 });
  await refuses(path, 'STORE_PERMISSIONS', /registry\.sqlite-wal/);
  await rm(`${path}-wal`);
  if (process.geteuid?.() !== 0) return;
  await chown(path, 65534, 65534);
  await refuses(path, 'STORE_PERMISSIONS', /belongs to user 65534/);
});

test('a missing folder is STORE_FAILED', async (t) => {
  await refuses(
    join(await temporaryFolder(t), 'missing', 'registry.sqlite'),
    'STORE_FAILED',
    /folder exists/,
  );
});

test('a file that is not a database is STORE_FAILED and stays unchanged', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  await writeFile(path, 'not a database, and longer than the header of one: '.repeat(100), { mode: 0o600 });
  const size = (await stat(path)).size;
  await refuses(path, 'STORE_FAILED', /damaged or is not a registry/);
  assert.equal((await stat(path)).size, size);
});

test('a registry of a newer version is REGISTRY_VERSION and stays unchanged', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  await (await openSqliteRegistry({ path })).close();
  const raw = new DatabaseSync(path);
  raw.exec("INSERT INTO kysely_migration VALUES ('0999-later', '2030-01-01')");
  await refuses(path, 'REGISTRY_VERSION', /0999-later.*Install that version again/s);
  raw.exec("DELETE FROM kysely_migration WHERE name = '0999-later'");
  raw.close();
  await (await openSqliteRegistry({ path })).close();
});

test('a registry that another process is writing to is STORE_FAILED, and works afterwards', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  await assert.rejects(
    registry.transact((tx) => tx.putSetting('a', '1')),
    failure('STORE_FAILED', /Another process holds/),
  );
  assert.equal(await registry.setting('a'), undefined);
  other.exec('ROLLBACK');
  other.close();
  await registry.transact((tx) => tx.putSetting('a', '1'));
  assert.equal(await registry.setting('a'), '1');
  await registry.close();
});

async function refuses(path: string, code: IdentityErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(openSqliteRegistry({ path }), failure(code, message));
}

function failure(code: IdentityErrorCode, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(hasCode(error, code), `expected ${code}, got ${error}`);
    assert.match(error.message, message);
    return true;
  };
}
