// Daemons that share a PostgreSQL database are one authority, and set it up once.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '@palyra/daemon';
import { verifyAudit } from '@palyra/identity';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request } from '../testing/sample-device.ts';
import { variants } from '../testing/soak.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { attribute, traceReceiver } from '../testing/trace-receiver.ts';
import { until } from '../testing/until.ts';

const noPassphrase = { from: 'passphrase-file', path: '/none' } as const;

function passphraseFile(text: string): string {
  const path = join(temporaryFolder(), 'passphrase');
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
  return path;
}

const nowhere = { host: '127.0.0.1', port: 0 };

for (const listens of [true, false])
  describe(`daemons on one PostgreSQL, ${listens ? 'with' : 'without'} notifications`, {
    skip: missingPostgres,
  }, () => {
    const fleet = new FleetForTests('', { listens });

    test('three that start on an empty database at the same time become one authority', async (t) => {
      const daemons = await fleet.start(t, 3);
      const [first, ...others] = daemons.map(({ running }) => running);
      assert.ok(first);
      for (const other of others) {
        assert.equal(other.daemonId, first.daemonId);
        assert.equal(other.trustDomain, first.trustDomain);
        assert.equal(other.rootFingerprint, first.rootFingerprint);
      }
      const { registry } = first.identity;
      const authorities = await registry.authorities();
      assert.deepEqual(authorities.map(({ tier, state }) => `${tier} ${state}`).sort(), [
        'issuing active',
        'root active',
      ]);
      assert.equal((await registry.audit({ limit: 10, action: 'daemon.created' })).length, 1);
      const verdict = await verifyAudit(registry);
      assert.equal(verdict.ok, true, JSON.stringify(verdict));
    });

    test('a request to one daemon can be decided at another, and the device gets the decision', async (t) => {
      const [a, b] = (await fleet.start(t, 2)) as [TestDaemon, TestDaemon];
      const device = await makeDevice();
      const pending = await request(a, device);
      const collected = collect(a, device, pending);
      await b.told((event) => event.type === 'pairing_changed' && event.pairing.state === 'pending_approval');
      await b.admin.approvePairing({ id: pending.requestId });
      const enrollment = await collected;
      const { deviceId } = await (await b.node(enrollment)).status({});
      assert.equal(deviceId, device.identity.id);
    });
  });

describe('a fleet without notifications', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  test('a device that was paired by one daemon can connect to every daemon, and every daemon may decide about it', async (t) => {
    const [a, b, c] = (await fleet.start(t, 3)) as [TestDaemon, TestDaemon, TestDaemon];
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    for (const daemon of [a, b, c]) {
      const { deviceId } = await (await daemon.node(enrollment)).status({});
      assert.equal(deviceId, device.identity.id);
    }
    await b.admin.renameDevice({ id: device.identity.id, name: 'renamed elsewhere' });
    assert.equal((await c.running.identity.registry.device(device.identity.id))?.name, 'renamed elsewhere');
  });

  test('a trace says in which database the registry is', async (t) => {
    const { url, spans } = await traceReceiver(t);
    const [daemon] = (await fleet.start(t, 1, { traces: { url } })) as [TestDaemon];
    await (await daemon.node(await pair(daemon, await makeDevice()))).status({});
    await daemon.stop();
    const uses = spans.filter(({ name }) => name.startsWith('registry '));
    assert.deepEqual([...new Set(uses.map((span) => attribute(span, 'db.system')))], ['postgresql']);
  });

  test('the metrics do not tell the size of a file that is not used', async (t) => {
    const [daemon] = (await fleet.start(t, 1, { metrics: { port: 0 } })) as [TestDaemon];
    const { address } = daemon.running.listeners.find(({ name }) => name === 'metrics')!;
    const text = await (await fetch(address)).text();
    assert.match(text, /^palyra_audit_rows [1-9]/m);
    assert.doesNotMatch(text, /palyra_registry_bytes/);
  });

  test('each daemon has a row that identifies it', async (t) => {
    const settings = await fleet.settings();
    const [asked] = await fleet.start(t, 2, { endpoints: { node: ['node.example.net:7444'] } }, settings);
    const rows = await until('two daemons have announced themselves', async () => {
      const found = await fleet.server.sql(settings.url, 'select * from daemons');
      return found.length === 2 && found;
    });
    for (const row of rows) {
      assert.match(String(row.version), /^\d+\.\d+\.\d+/);
      assert.ok(String(row.endpoints).includes('node.example.net:7444'), String(row.endpoints));
    }
    const { daemons, version } = await asked!.admin.getStatus({});
    assert.equal(daemons.length, 2);
    assert.equal(daemons.filter(({ isThis }) => isThis).length, 1);
    for (const each of daemons) {
      assert.equal(each.version, version);
      assert.ok(each.endpoints.includes('node.example.net:7444'), each.endpoints.join(' '));
      assert.ok(each.seenAtMs > 0n);
    }
  });

  test('a device cannot have the name of another daemon', async (t) => {
    const settings = await fleet.settings();
    const [a] = await fleet.start(t, 1, { names: { dns: ['a.example.net'], ip: [] } }, settings);
    const [b] = await fleet.start(t, 1, {}, settings);
    const device = await makeDevice();
    await pair(b!, device);
    const { id } = device.identity;
    await assert.rejects(b!.running.identity.setHostNames(id, ['a.example.net']), {
      code: 'MESSAGE_INVALID',
    });
    await a!.running.identity.setHostNames(id, ['c.example.net']);
  });

  test('a restarted daemon keeps its identity', async (t) => {
    const settings = await fleet.settings();
    const home = temporaryFolder();
    const [first] = await fleet.start(t, 1, { home }, settings);
    const { rootFingerprint } = first!.running;
    await first!.stop();
    const [again] = await fleet.start(t, 1, { home }, settings);
    assert.equal(again!.running.rootFingerprint, rootFingerprint);
    assert.equal((await fleet.server.sql(settings.url, 'select id from daemons')).length, 1);
  });

  for (const [title, change, code] of [
    [
      'another master key',
      async () => ({ masterKey: (await fleet.settings()).masterKey }),
      'MASTER_KEY_WRONG',
    ],
    ['a home without the key', async () => ({ masterKey: undefined }), 'MASTER_KEY_WRONG'],
    [
      'a passphrase instead of the key',
      async () => ({ masterKey: { from: 'passphrase-file', path: passphraseFile('correct horse battery') } }),
      'MASTER_KEY_WRONG',
    ],
    ['a passphrase that is not there', async () => ({ masterKey: noPassphrase }), 'STORE_FAILED'],
  ] as const)
    test(`a daemon with ${title} is refused, and leaves nothing behind`, async (t) => {
      const settings = await fleet.settings();
      await fleet.start(t, 1, {}, settings);
      const before = await fleet.server.sql(settings.url, 'select * from secrets order by 1, 2');
      const { registry, masterKey } = settings;
      const home = temporaryFolder();
      const config = { pairing: nowhere, node: nowhere, announce: false, console: { enabled: false } };
      await assert.rejects(
        startDaemon({
          home,
          config: { ...config, ...{ registry, masterKey }, ...(await change()) } as never,
        }),
        (error: { code?: string }) => {
          assert.equal(error.code, code, String(error));
          return true;
        },
      );
      assert.deepEqual(await fleet.server.sql(settings.url, 'select * from secrets order by 1, 2'), before);
    });

  const atOnce = variants([2, 3], (count) => count === 2);
  for (const count of atOnce)
    test(`${count} with one passphrase that start on an empty database at the same time have one key`, async (t) => {
      const settings = await fleet.settings();
      const passphrase = 'correct horse battery staple';
      const given = {
        ...settings,
        masterKey: { from: 'passphrase-file', path: passphraseFile(passphrase) },
      } as const;
      const daemons = await fleet.start(t, count, {}, given);
      const enrollment = await pair(daemons[0]!, await makeDevice());
      for (const daemon of daemons) await (await daemon.node(enrollment)).status({});
      const rows = await fleet.server.sql(settings.url, "select name_mac from secrets where key_id = ''");
      assert.deepEqual(rows.map((row) => row.name_mac).sort(), ['master key', 'passphrase']);
      const another = passphraseFile('correct horse battery stapler');
      await assert.rejects(
        fleet.start(t, 1, {}, { ...settings, masterKey: { from: 'passphrase-file', path: another } }),
        { code: 'MASTER_KEY_WRONG', message: /masterKey\.path/ },
      );
    });

  test('a passphrase that is easily guessed does not set up a database', async (t) => {
    const settings = await fleet.settings();
    const masterKey = { from: 'passphrase-file', path: passphraseFile('password1') } as const;
    await assert.rejects(fleet.start(t, 1, {}, { ...settings, masterKey }), { code: 'PASSPHRASE_WEAK' });
    const tables = "select 1 from pg_tables where schemaname = 'public'";
    assert.deepEqual(await fleet.server.sql(settings.url, tables), []);
  });

  test('the URL comes from a credential, as a service manager mounts it', async (t) => {
    const settings = await fleet.settings();
    // Kubernetes: a link to a link to a file.
    const folder = temporaryFolder();
    mkdirSync(join(folder, '..2026'));
    writeFileSync(join(folder, '..2026', 'url'), settings.url, { mode: 0o400 });
    symlinkSync('..2026', join(folder, '..data'));
    symlinkSync(join('..data', 'url'), join(folder, 'url'));
    const registry = { ...settings.registry, urlFile: join(folder, 'url') };
    await fleet.start(t, 1, {}, { ...settings, registry });
    chmodSync(join(folder, '..2026', 'url'), 0o444);
    await assert.rejects(fleet.start(t, 1, {}, { ...settings, registry }), {
      code: 'STORE_PERMISSIONS',
      message: /registry\.urlFile/,
    });
    const missing = { ...settings.registry, urlFile: join(folder, 'none') };
    await assert.rejects(fleet.start(t, 1, {}, { ...settings, registry: missing }), {
      code: 'STORE_FAILED',
      message: /registry\.urlFile/,
    });
  });

  test('a text that PostgreSQL cannot store is refused as input, so no registry in a file has one', async (t) => {
    const nul = 'a\u0000b';
    const daemons = [await TestDaemon.start(t), (await fleet.start(t, 1))[0]!];
    for (const daemon of daemons) {
      const device = await makeDevice();
      await pair(daemon, device);
      const { id } = device.identity;
      await assert.rejects(daemon.admin.renameDevice({ id, name: nul }));
      await daemon.admin.revokeDevice({ id, reason: nul }).catch(() => {});
      const texts = JSON.stringify(await daemon.running.identity.registry.audit({ limit: 100 }));
      assert.doesNotMatch(texts, /[^\\]\\u0000/);
    }
  });

  test('a home with a registry in a file does not forget it', async (t) => {
    const home = temporaryFolder();
    const alone = await TestDaemon.start(t, { home });
    await alone.stop();
    const { registry, masterKey } = await fleet.settings();
    await assert.rejects(TestDaemon.start(t, { home, registry, masterKey }), { code: 'MESSAGE_INVALID' });
  });

  test('a home of a fleet does not become a separate daemon', async (t) => {
    const home = temporaryFolder();
    const [daemon] = await fleet.start(t, 1, { home });
    await daemon!.stop();
    await assert.rejects(TestDaemon.start(t, { home }), { code: 'MESSAGE_INVALID' });
  });

  test('a home refuses a database that is empty again or older than the home has seen', async (t) => {
    const settings = await fleet.settings();
    const home = temporaryFolder();
    const [daemon] = await fleet.start(t, 1, { home }, settings);
    await daemon!.stop();
    const start = () => fleet.start(t, 1, { home }, settings);
    await fleet.server.sql(settings.url, 'alter table ledger rename to ledger_away');
    await assert.rejects(start(), { code: 'REGISTRY_WENT_BACK' });
    await fleet.server.sql(settings.url, 'alter table ledger_away rename to ledger');
    await fleet.server.sql(settings.url, 'delete from audit where seq = (select max(seq) from audit)');
    await assert.rejects(start(), { code: 'REGISTRY_WENT_BACK' });
    await fleet.server.sql(settings.url, 'drop schema public cascade; create schema public');
    await assert.rejects(start(), { code: 'REGISTRY_WENT_BACK' });
    assert.deepEqual(
      await fleet.server.sql(settings.url, "select 1 from pg_tables where schemaname = 'public'"),
      [],
      'nothing was made',
    );
  });
});
