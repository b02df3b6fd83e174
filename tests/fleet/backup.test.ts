// Backups of a fleet: palyra's own of the whole state, and what a dump of the database must not be used for.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  backupHome,
  examineHome,
  moveRegistry,
  rekeySecrets,
  restoreHome,
  setAside,
} from '@palyra/daemon/home';
import { verifyAudit } from '@palyra/identity';
import { BackupSchedule } from '../../packages/daemon/src/home/backup-schedule.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';

const passphrase = 'correct horse battery staple';
/** A low cost, because these tests are not about guessing. */
const quick = { scryptLogN: 10 };

describe('backups of a fleet without notifications', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  /** The configuration is in the home, for commands. */
  function homeWith(config: object): string {
    const home = temporaryFolder();
    mkdirSync(join(home, 'daemon'), { mode: 0o700 });
    writeFileSync(join(home, 'daemon', 'config.json'), JSON.stringify(config), { mode: 0o600 });
    return home;
  }

  test('a backup made while two daemons run is restored into a file, and from there into another database', async (t) => {
    const settings = await fleet.settings();
    const { registry, masterKey } = settings;
    const home = homeWith({ registry, masterKey });
    const [a] = await fleet.start(t, 1, { home }, settings);
    const [b] = await fleet.start(t, 1, {}, settings);
    const [kept, lost] = [await makeDevice(), await makeDevice()];
    const [enrollment, revoked] = [await pair(a!, kept), await pair(b!, lost)];
    await (await a!.node(enrollment)).status({});
    await (await b!.node(revoked)).status({});
    const file = join(temporaryFolder(), 'backup.age');
    const made = await backupHome(home, file, passphrase, quick);
    assert.equal(made.devices, 2);
    await b!.admin.revokeDevice({ id: lost.identity.id, reason: 'lost' });
    const { rootFingerprint, daemonId } = a!.running;
    await assert.rejects(restoreHome(home, { file, passphrase }), { code: 'HOME_IN_USE' });
    await a!.stop();
    await b!.stop();
    await assert.rejects(restoreHome(home, { file, passphrase }), {
      code: 'MESSAGE_INVALID',
      message: /new home/,
    });

    // The revocation came after the backup, so somebody must know of it.
    const restored = temporaryFolder();
    await assert.rejects(restoreHome(restored, { file, passphrase }), { code: 'REVOCATIONS_UNKNOWN' });
    await restoreHome(restored, { file, passphrase, revokedSince: [lost.identity.id] });
    const alone = await TestDaemon.start(t, { home: restored, masterKey });
    assert.deepEqual([alone.running.rootFingerprint, alone.running.daemonId], [rootFingerprint, daemonId]);
    await expectCode((await alone.node(revoked)).status({}), 'DEVICE_REVOKED');
    await (await alone.node(enrollment)).status({});
    await alone.stop();

    const next = await fleet.settings();
    await moveRegistry(restored, next.registry.urlFile);
    const [joined] = await fleet.start(t, 1, {}, { ...next, masterKey });
    await (await joined!.node(enrollment)).status({});
    await expectCode((await joined!.node(revoked)).status({}), 'DEVICE_REVOKED');
    assert.equal((await verifyAudit(joined!.running.identity.registry)).ok, true);
  });

  test('a daemon of a fleet makes backups by itself, and the doctor finds them', async (t) => {
    const settings = await fleet.settings();
    const { registry, masterKey } = settings;
    const [folder, file] = [temporaryFolder(), join(temporaryFolder(), 'passphrase')];
    writeFileSync(file, passphrase, { mode: 0o600 });
    const backup = { folder, passphraseFile: file };
    const home = homeWith({ registry, masterKey, backup });
    const { open } = BackupSchedule;
    t.mock.method(BackupSchedule, 'open', (options: Parameters<typeof open>[0]) =>
      open.call(BackupSchedule, { ...options, ...quick }),
    );
    const [daemon] = await fleet.start(t, 1, { home, backup }, settings);
    const enrollment = await pair(daemon!, await makeDevice());
    await daemon!.running.tick();
    await until('a backup', async () => readdirSync(folder).some((name) => name.endsWith('.age')));
    const findings = await examineHome(home, new Date());
    assert.equal(findings.find(({ check }) => check === 'backup')?.verdict, 'ok', JSON.stringify(findings));
    await daemon!.stop();
    const restored = temporaryFolder();
    const [made = ''] = readdirSync(folder);
    await restoreHome(restored, { file: join(folder, made), passphrase, revokedSince: 'none' });
    const alone = await TestDaemon.start(t, { home: restored, masterKey });
    await (await alone.node(enrollment)).status({});
  });

  test('commands that change a stopped daemon refuse a shared registry, and say what to do', async (t) => {
    const settings = await fleet.settings();
    const home = homeWith({ registry: settings.registry, masterKey: settings.masterKey });
    await (await fleet.start(t, 1, { home }, settings))[0]!.stop();
    const refused = { code: 'MESSAGE_INVALID', message: /docs\/fleet\.md/ };
    await assert.rejects(rekeySecrets(home, undefined), refused);
    await assert.rejects(setAside(home, { agree: async () => {} }), refused);
    const file = join(temporaryFolder(), 'backup.age');
    await backupHome(home, file, passphrase, quick);
    const configFile = join(home, 'daemon', 'config.json');
    await assert.rejects(
      restoreHome(temporaryFolder(), { file, passphrase, configFile, revokedSince: 'none' }),
      refused,
    );
  });

  test('a restored dump, in which a revoked device is valid, is refused by every daemon that has seen more', async (t) => {
    const settings = await fleet.settings();
    const home = temporaryFolder();
    const [daemon] = await fleet.start(t, 1, { home }, settings);
    const [other] = await fleet.start(t, 1, {}, settings);
    const device = await makeDevice();
    const enrollment = await pair(daemon!, device);
    const node = await other!.node(enrollment);
    await node.status({});
    const dump = join(temporaryFolder(), 'dump');
    writeFileSync(dump, await run('pg_dump', ['--format=custom', settings.url]));
    await daemon!.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    await expectCode((await other!.node(enrollment)).status({}), 'DEVICE_REVOKED');
    await daemon!.stop();
    await run('pg_restore', ['--clean', `--dbname=${settings.url}`, dump]);
    assert.deepEqual(await fleet.server.sql(settings.url, 'select state from devices'), [
      { state: 'active' },
    ]);

    await expectCode((await other!.node(enrollment)).status({}), 'REGISTRY_WENT_BACK');
    await expectCode(other!.admin.mintCode({}), 'REGISTRY_WENT_BACK');
    await assert.rejects(fleet.start(t, 1, { home }, settings), { code: 'REGISTRY_WENT_BACK' });
  });
});

/** Without a block of this process, which reads the log of the server. */
async function run(program: string, words: readonly string[]): Promise<Buffer> {
  const [path = program] = globSync(`/usr/lib/postgresql/*/bin/${program}`).sort().reverse();
  const options = { cwd: '/', encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const;
  return (await promisify(execFile)(path, words, options)).stdout;
}
