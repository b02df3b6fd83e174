// The registry of a fleet moves back into a file of one daemon: with everything, verified, or not at all, and the database
// serves nobody afterwards.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { DaemonConfigInput } from '@palyra/daemon';
import { moveRegistry, moveRegistryBack } from '@palyra/daemon/home';
import { verifyAudit } from '@palyra/identity';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, type FleetSettings, missingPostgres } from '../testing/fleet.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

describe('a registry moves from PostgreSQL back into a file', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  /** The configuration is in the home, for commands. */
  function homeOf(config: DaemonConfigInput): string {
    const home = temporaryFolder();
    writeConfig(home, config);
    return home;
  }

  function writeConfig(home: string, config: DaemonConfigInput): void {
    mkdirSync(join(home, 'daemon'), { recursive: true, mode: 0o700 });
    writeFileSync(join(home, 'daemon', 'config.json'), JSON.stringify(config), { mode: 0o600 });
  }

  /** Two stopped daemons of a fleet with a device that is in use and one that is revoked. */
  async function filled(t: TestContext, given?: FleetSettings) {
    const settings = given ?? (await fleet.settings());
    const { registry, masterKey } = settings;
    const [home, otherHome] = [homeOf({ registry, masterKey }), homeOf({ registry, masterKey })];
    const [daemon] = await fleet.start(t, 1, { home }, settings);
    const [other] = await fleet.start(t, 1, { home: otherHome }, settings);
    const [kept, lost] = [await makeDevice(), await makeDevice({ name: 'größe\u{1f600}' })];
    const [enrollment, revoked] = [await pair(daemon!, kept), await pair(other!, lost)];
    await (await daemon!.node(enrollment)).status({});
    await (await other!.node(revoked)).status({});
    await other!.admin.revokeDevice({ id: lost.identity.id, reason: 'lost' });
    const { rootFingerprint } = daemon!.running;
    return {
      settings,
      home,
      otherHome,
      daemon: daemon!,
      other: other!,
      enrollment,
      revoked,
      rootFingerprint,
    };
  }

  /** As if the others had been stopped for some minutes. */
  const longAgo = ({ url }: FleetSettings) =>
    fleet.server.sql(url, 'update daemons set seen_at = seen_at - 300000');

  test('and its devices, refusals, keys and audit are there, and the database refuses every other daemon', async (t) => {
    const { settings, home, otherHome, daemon, other, enrollment, revoked, rootFingerprint } =
      await filled(t);
    await daemon.stop();
    const other_ = await other.node(enrollment);
    await longAgo(settings);
    // A daemon that hangs, or whose clock stands, may not have been seen for long, and still run.
    const { exitCode, stdout, stderr } = await runRecorded({
      args: ['registry', 'move', '--to', 'file', '--home', home, '--json'],
    });
    assert.equal(exitCode, 0, stderr);
    assert.equal(JSON.parse(stdout).devices, 2);
    assert.ok(!existsSync(join(home, 'daemon', 'fleet.json')));

    await expectCode(other_.status({}), 'REGISTRY_MOVED');
    await expectCode(other.admin.mintCode({}), 'REGISTRY_MOVED');
    await other.stop();
    const { registry, masterKey } = settings;
    await assert.rejects(fleet.start(t, 1, { home: otherHome }, settings), { code: 'REGISTRY_MOVED' });
    await assert.rejects(fleet.start(t, 1, {}, settings), { code: 'REGISTRY_MOVED' });
    await assert.rejects(moveRegistryBack(otherHome), { code: 'REGISTRY_MOVED' });
    // The home itself does not lose its files by the old configuration.
    await assert.rejects(TestDaemon.start(t, { home, registry, masterKey }), { code: 'MESSAGE_INVALID' });

    const moved = await TestDaemon.start(t, { home, masterKey });
    assert.equal(moved.running.rootFingerprint, rootFingerprint);
    await (await moved.node(enrollment)).status({});
    await expectCode((await moved.node(revoked)).status({}), 'DEVICE_REVOKED');
    await pair(moved, await makeDevice());
    assert.equal((await verifyAudit(moved.running.identity.registry)).ok, true);

    // There again, into another database.
    await moved.stop();
    writeConfig(home, { masterKey });
    await assert.rejects(moveRegistry(home, registry.urlFile), { code: 'MESSAGE_INVALID' });
    const next = await fleet.settings();
    await moveRegistry(home, next.registry.urlFile);
    const again = await fleet.start(t, 2, {}, { ...next, masterKey });
    await (await again[1]!.node(enrollment)).status({});
  });

  test('not while another daemon was seen recently, or itself runs', async (t) => {
    const { home, daemon, other, settings, enrollment } = await filled(t);
    await assert.rejects(moveRegistryBack(home), { code: 'HOME_IN_USE' });
    await daemon.stop();
    await assert.rejects(moveRegistryBack(home), { code: 'REGISTRY_IN_USE', message: /another|every other/ });
    await (await other.node(enrollment)).status({});
    assert.ok(!existsSync(join(home, 'daemon', 'registry.sqlite')));
    assert.deepEqual(await fleet.server.sql(settings.url, 'select moved_by from ledger'), [
      { moved_by: null },
    ]);
  });

  test('a registry that does not verify, or that went back, is not moved, and what differs is named', async (t) => {
    const { home, daemon, other, settings, enrollment } = await filled(t);
    await daemon.stop();
    await other.stop();
    await longAgo(settings);
    await fleet.server.sql(settings.url, "update devices set role = 'operator'");
    await assert.rejects(moveRegistryBack(home), { code: 'AUDIT_BROKEN', message: /role/ });
    await fleet.server.sql(settings.url, "update devices set role = 'device'");
    await fleet.server.sql(
      settings.url,
      `create table gone as select * from audit; delete from audit where seq > (select max(seq) - 2 from gone);
       update ledger set audit_seq = audit_seq - 2`,
    );
    await assert.rejects(moveRegistryBack(home), { code: 'REGISTRY_WENT_BACK' });
    await fleet.server.sql(
      settings.url,
      'delete from audit; insert into audit select * from gone; update ledger set audit_seq = audit_seq + 2',
    );
    assert.ok(!existsSync(join(home, 'daemon', 'registry.sqlite')));
    const [again] = await fleet.start(t, 1, { home }, settings);
    await (await again!.node(enrollment)).status({});
  });

  test('a move that was interrupted at any point is repeated', async (t) => {
    const { home, daemon, other, settings, enrollment } = await filled(t);
    await daemon.stop();
    await other.stop();
    await longAgo(settings);
    const fleetFile = join(home, 'daemon', 'fleet.json');
    const memory = join(home, 'memory');
    renameSync(fleetFile, memory);
    await assert.rejects(moveRegistryBack(home), { code: 'NOTHING_FOUND' });
    renameSync(memory, fleetFile);
    const text = readFileSync(fleetFile);
    const interrupted: readonly (() => void)[] = [
      // Before the database was marked: the half of a copy is there.
      () => {
        mkdirSync(join(home, 'daemon', 'moving'), { mode: 0o700 });
        writeFileSync(join(home, 'daemon', 'moving', 'registry.sqlite'), 'half', { mode: 0o600 });
      },
      // After it was marked, before the files were in place.
      () => {
        for (const name of ['registry.sqlite', 'secrets'])
          renameSync(join(home, 'daemon', name), join(home, `earlier-${name}`));
        writeFileSync(fleetFile, text, { mode: 0o600 });
      },
      // Between the two files.
      () => {
        renameSync(join(home, 'daemon', 'registry.sqlite'), join(home, 'second.sqlite'));
        writeFileSync(fleetFile, text, { mode: 0o600 });
      },
      // Before the home forgot the database.
      () => writeFileSync(fleetFile, text, { mode: 0o600 }),
    ];
    for (const [index, interrupt] of interrupted.entries()) {
      interrupt();
      await assert.rejects(TestDaemon.start(t, { home, masterKey: settings.masterKey }), {
        code: 'MESSAGE_INVALID',
      });
      const { wasThere } = await moveRegistryBack(home);
      assert.equal(wasThere, index > 0);
    }
    const moved = await TestDaemon.start(t, { home, masterKey: settings.masterKey });
    await (await moved.node(enrollment)).status({});
  });

  test('with a passphrase, which then opens the files', async (t) => {
    const settings = await fleet.settings();
    const path = join(temporaryFolder(), 'passphrase');
    writeFileSync(path, 'correct horse battery staple\n', { mode: 0o600 });
    const masterKey = { from: 'passphrase-file', path } as const;
    const { home, daemon, other, enrollment } = await filled(t, { ...settings, masterKey });
    await daemon.stop();
    await other.stop();
    await longAgo(settings);
    await moveRegistryBack(home);
    const moved = await TestDaemon.start(t, { home, masterKey });
    await (await moved.node(enrollment)).status({});
    await moved.stop();
    writeConfig(home, { masterKey });
    const next = await fleet.settings();
    await moveRegistry(home, next.registry.urlFile);
    const [joined] = await fleet.start(t, 1, {}, { ...next, masterKey });
    await (await joined!.node(enrollment)).status({});
  });

  test('a home without a database has nothing to move back', async (t) => {
    const home = homeOf({});
    await (await TestDaemon.start(t, { home })).stop();
    await assert.rejects(moveRegistryBack(home), { code: 'MESSAGE_INVALID' });
    const { exitCode, stderr } = await runRecorded({
      args: ['registry', 'move', '--to', 'file', '--url-file', '/none', '--home', home],
    });
    assert.equal(exitCode, 2);
    assert.match(stderr, /--url-file/);
  });
});
