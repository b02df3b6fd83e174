import assert from 'node:assert/strict';
import { chmod, cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { hasCode, type IdentityErrorCode } from '@palyra/identity';
import type { Registry } from '@palyra/identity/registry';
import { addDevice, sampleEvent } from '../testing/samples.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { lookAtSqliteRegistry, openSqliteRegistry } from './open.ts';

async function written(t: TestContext): Promise<{ folder: string; path: string; registry: Registry }> {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  t.after(() => registry.close());
  await addDevice(registry);
  await registry.transact((tx) => tx.appendAudit(sampleEvent()));
  return { folder, path, registry };
}

const devicesIn = (path: string) =>
  lookAtSqliteRegistry({ path }, async (registry) => (await registry.counts()).devices);

async function refuses(work: Promise<unknown>, code: IdentityErrorCode): Promise<void> {
  await assert.rejects(
    work,
    (error) => hasCode(error, code) || assert.fail(`expected ${code}, got ${error}`),
  );
}

test('a read-only open creates and changes no file, whether the registry is open, closed or left by a killed program', async (t) => {
  const { folder, path, registry } = await written(t);
  assert.equal(await devicesIn(path), 1);
  const killed = await temporaryFolder(t);
  for (const name of await readdir(folder)) await cp(join(folder, name), join(killed, name));
  await rm(join(killed, 'registry.sqlite-shm'));
  await registry.close();
  for (const place of [folder, killed]) {
    const contents = async () =>
      Promise.all(
        (await readdir(place)).sort().map(async (name) => [name, await readFile(join(place, name))]),
      );
    const before = await contents();
    assert.equal(await devicesIn(join(place, 'registry.sqlite')), 1);
    assert.deepEqual(await contents(), before);
  }
});

test('a read-only open sees one state, whatever is written meanwhile', async (t) => {
  const { path, registry } = await written(t);
  await lookAtSqliteRegistry({ path }, async (now) => {
    await addDevice(registry);
    assert.equal((await now.counts()).devices, 1);
    assert.equal((await registry.counts()).devices, 2);
  });
  for (const each of [registry, await openSqliteRegistry({ path: ':memory:' })]) {
    if (each !== registry) await addDevice(each);
    const { devices } = await each.counts();
    const now = await each.snapshot();
    await addDevice(each);
    assert.equal((await now.counts()).devices, devices);
    await now.close();
    await each.close();
  }
});

test('a read-only open starts again when the registry was opened for writing meanwhile', async (t) => {
  const { path, registry } = await written(t);
  await registry.close();
  let looks = 0;
  const devices = await lookAtSqliteRegistry({ path }, async (now) => {
    looks += 1;
    if (looks === 1) {
      const writer = await openSqliteRegistry({ path });
      await addDevice(writer);
      await writer.close();
    }
    return (await now.counts()).devices;
  });
  assert.deepEqual({ looks, devices }, { looks: 2, devices: 2 });
});

test('a read-only open cannot write', async (t) => {
  const { path } = await written(t);
  await lookAtSqliteRegistry({ path }, async (registry) => {
    assert.ok(!('transact' in registry));
  });
});

test('a registry that is missing, empty or was never written to is REGISTRY_LOST, and none is created', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'registry.sqlite');
  for (const make of [
    async () => {},
    () => writeFile(path, '', { mode: 0o600 }),
    async () => (await openSqliteRegistry({ path })).close(),
  ]) {
    await make();
    const before = await readdir(folder);
    await refuses(devicesIn(path), 'REGISTRY_LOST');
    await refuses(openSqliteRegistry({ path, mustExist: true }), 'REGISTRY_LOST');
    assert.deepEqual(await readdir(folder), before);
  }
});

test('a read-only open refuses a registry of another version or that others can read, and does not change it', async (t) => {
  const { path, registry } = await written(t);
  await registry.close();
  const change = (sql: string) => {
    const raw = new DatabaseSync(path);
    raw.exec(sql);
    raw.close();
  };
  change("INSERT INTO kysely_migration VALUES ('0999-later', '2030-01-01')");
  await refuses(devicesIn(path), 'REGISTRY_VERSION');
  change("DELETE FROM kysely_migration WHERE name IN ('0999-later', '0002-sqlite-plans')");
  await refuses(devicesIn(path), 'REGISTRY_VERSION');
  await chmod(path, 0o644);
  await refuses(devicesIn(path), 'STORE_PERMISSIONS');
});
