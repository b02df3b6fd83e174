// A daemon with its registry in a file moves into PostgreSQL: with everything, verified, or not at all.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { moveRegistry } from '@palyra/daemon/home';
import { verifyAudit } from '@palyra/identity';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, type FleetSettings, missingPostgres } from '../testing/fleet.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

describe('a registry moves from a file into PostgreSQL', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  /** A stopped daemon with a device that is in use and one that is revoked. */
  async function filled(t: TestContext) {
    const home = temporaryFolder();
    const daemon = await TestDaemon.start(t, { home });
    const [kept, lost] = [await makeDevice(), await makeDevice({ name: 'größe\u{1f600}' })];
    const [enrollment, revoked] = [await pair(daemon, kept), await pair(daemon, lost)];
    await (await daemon.node(enrollment)).status({});
    await (await daemon.node(revoked)).status({});
    await daemon.admin.revokeDevice({ id: lost.identity.id, reason: 'lost' });
    await daemon.admin.mintCode({});
    const { rootFingerprint } = daemon.running;
    await daemon.stop();
    return { home, kept, enrollment, revoked, rootFingerprint };
  }

  /** Settings of a fleet whose master key is the one of this home. */
  const settingsOf = async (home: string): Promise<FleetSettings> => ({
    ...(await fleet.settings()),
    masterKey: { from: 'key-file', path: join(home, 'daemon', 'master.key') },
  });

  test('and its devices, refusals, keys and audit are there, for every daemon', async (t) => {
    const { home, kept, enrollment, revoked, rootFingerprint } = await filled(t);
    const settings = await settingsOf(home);
    const args = ['registry', 'move', '--to', 'postgres', '--url-file', settings.registry.urlFile];
    const { exitCode, stdout, stderr } = await runRecorded({ args: [...args, '--home', home, '--json'] });
    assert.equal(exitCode, 0, stderr);
    const said = JSON.parse(stdout);
    assert.equal(said.devices, 2);
    assert.deepEqual(readdirSync(said.aside).sort(), ['registry.sqlite', 'secrets']);
    assert.ok(!existsSync(join(home, 'daemon', 'registry.sqlite')));

    const [moved] = await fleet.start(t, 1, { home }, settings);
    const [joined] = await fleet.start(t, 1, {}, settings);
    for (const daemon of [moved!, joined!]) {
      assert.equal(daemon.running.rootFingerprint, rootFingerprint);
      const { deviceId } = await (await daemon.node(enrollment)).status({});
      assert.equal(deviceId, kept.identity.id);
      await expectCode((await daemon.node(revoked)).status({}), 'DEVICE_REVOKED');
      await pair(daemon, await makeDevice());
    }
    assert.equal((await verifyAudit(joined!.running.identity.registry)).ok, true);
  });

  test('only into an empty database, and only while the daemon is stopped', async (t) => {
    const { home } = await filled(t);
    const settings = await settingsOf(home);
    await (
      await fleet.start(t, 1, {}, { ...settings, masterKey: (await fleet.settings()).masterKey })
    )[0]!.stop();
    await assert.rejects(moveRegistry(home, settings.registry.urlFile), { code: 'MESSAGE_INVALID' });
    const daemon = await TestDaemon.start(t, { home });
    const other = await settingsOf(home);
    await assert.rejects(moveRegistry(home, other.registry.urlFile), { code: 'HOME_IN_USE' });
    await daemon.stop();
  });

  test('a registry that does not verify is not moved, and what differs is named', async (t) => {
    const { home } = await filled(t);
    const settings = await settingsOf(home);
    const file = new DatabaseSync(join(home, 'daemon', 'registry.sqlite'));
    file.exec(`update devices set role = 'operator'`);
    file.close();
    await assert.rejects(moveRegistry(home, settings.registry.urlFile), {
      code: 'AUDIT_BROKEN',
      message: /role/,
    });
    assert.deepEqual(await fleet.server.sql(settings.url, 'select id from devices'), []);
    assert.ok(existsSync(join(home, 'daemon', 'registry.sqlite')));
  });

  test('a move that was interrupted after the database had everything is repeated', async (t) => {
    const { home, enrollment } = await filled(t);
    const settings = await settingsOf(home);
    const { aside } = await moveRegistry(home, settings.registry.urlFile);
    // As if it had been killed before it put the files aside.
    for (const name of readdirSync(aside)) renameSync(join(aside, name), join(home, 'daemon', name));
    await assert.rejects(fleet.start(t, 1, { home }, settings), { code: 'MESSAGE_INVALID' });
    await assert.rejects(TestDaemon.start(t, { home }), { code: 'MESSAGE_INVALID' });
    const again = await moveRegistry(home, settings.registry.urlFile);
    assert.equal(again.wasThere, true);
    const [daemon] = await fleet.start(t, 1, { home }, settings);
    await (await daemon!.node(enrollment)).status({});
  });

  for (const words of [
    ['--to', 'elsewhere'],
    ['--to', 'postgres'],
  ])
    test(`"registry move ${words.join(' ')}" says what is missing`, async (t) => {
      const { home } = await filled(t);
      const { exitCode, stderr } = await runRecorded({
        args: ['registry', 'move', ...words, '--home', home],
      });
      assert.equal(exitCode, 2);
      assert.match(stderr, /--to postgres|--url-file FILE/);
    });
});
