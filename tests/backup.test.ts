// Backup, restore, rekey and doctor, on real homes.

import assert from 'node:assert/strict';
import { chmod, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { backupHome, examineHome, rekeySecrets, restoreHome } from '@palyra/daemon';
import { recoverCertificate } from '@palyra/identity';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { expectCode } from './testing/expect-code.ts';
import { freePort } from './testing/free-port.ts';
import { TestDaemon } from './testing/running-daemon.ts';
import { makeDevice, pair } from './testing/sample-device.ts';

const passphrase = 'correct horse battery';
/** The tests are not about the cost of a guess. */
const quick = { scryptLogN: 10 };

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'palyra-backup-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('a backup made while the daemon runs brings the same daemon back on an empty home', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const folder = await scratch(t);
  const file = join(folder, 'backup.age');
  const made = await backupHome(daemon.home, file, passphrase, quick);
  assert.equal(made.devices, 1);
  assert.deepEqual(await readdir(folder), ['backup.age']);
  assert.equal((await stat(file)).mode & 0o077, 0);
  assert.ok(!(await readFile(file)).includes('palyra-backup'), 'it is encrypted');
  const { daemonId, rootFingerprint } = daemon.running;
  await daemon.stop();

  const home = join(folder, 'home');
  await restoreHome(home, { file, passphrase, revokedSince: 'none' });
  const again = await TestDaemon.start(t, { home, ports });
  assert.equal(again.running.daemonId, daemonId);
  assert.equal(again.running.rootFingerprint, rootFingerprint);
  await (await again.node(enrollment)).status({});
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('a restore never brings back what was revoked since', async (t) => {
  const daemon = await TestDaemon.start(t);
  const [lost, kept] = [await makeDevice(), await makeDevice()];
  const [one, two] = [await pair(daemon, lost), await pair(daemon, kept)];
  for (const each of [one, two]) await (await daemon.node(each)).status({});
  const folder = await scratch(t);
  const file = join(folder, 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await daemon.admin.revokeDevice({ id: lost.identity.id, reason: 'stolen' });
  await daemon.stop();

  // The registry that is replaced knows it.
  const { revoked, replaced } = await restoreHome(daemon.home, { file, passphrase });
  assert.deepEqual(revoked, [lost.identity.id]);
  assert.ok(replaced);
  const again = await TestDaemon.start(t, { home: daemon.home });
  await expectCode((await again.node(one)).status({}), 'DEVICE_REVOKED');
  await (await again.node(two)).status({});
  await again.stop();

  // Where there is none, the operator has to say.
  const empty = join(folder, 'empty');
  const refused = await expectCode(restoreHome(empty, { file, passphrase }), 'REVOCATIONS_UNKNOWN');
  assert.match(refused.message, /--revoked ID/);
  await restoreHome(empty, { file, passphrase, revokedSince: [lost.identity.id] });
  const third = await TestDaemon.start(t, { home: empty });
  await expectCode((await third.node(one)).status({}), 'DEVICE_REVOKED');
});

test('a certificate from after the backup is unknown, and its device recovers by its identity key', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const file = join(await scratch(t), 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  const node = await daemon.node(enrollment);
  const { renewCertificate } = await import('@palyra/identity');
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  await (await daemon.node(renewed)).status({});
  await daemon.stop();
  await restoreHome(daemon.home, { file, passphrase });
  const again = await TestDaemon.start(t, { home: daemon.home, ports });
  await expectCode((await again.node(renewed)).status({}), 'CERTIFICATE_UNKNOWN');
  const connection = await dialPairing(renewed.address, renewed);
  again.closeAtEnd(connection);
  const recovered = await recoverCertificate(device, renewed, recoveryPeer(connection));
  await (await again.node(recovered)).status({});
  const findings = await examineHome(again.home, new Date());
  assert.match(findings.find(({ check }) => check === 'restore')!.message, /Restored at/);
});

test('a wrong passphrase, a cut or changed file and a foreign file change nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const folder = await scratch(t);
  const file = join(folder, 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await expectCode(backupHome(daemon.home, file, 'short'), 'MESSAGE_INVALID');
  await expectCode(restoreHome(daemon.home, { file, passphrase }), 'HOME_IN_USE');
  await daemon.stop();
  const bytes = await readFile(file);
  const spoiled: Record<string, Buffer> = {
    cut: bytes.subarray(0, bytes.length - 1000),
    changed: Buffer.concat([
      bytes.subarray(0, -500),
      Buffer.from([bytes.at(-500)! ^ 1]),
      bytes.subarray(-499),
    ]),
    foreign: Buffer.from('hello'),
  };
  for (const [name, content] of Object.entries(spoiled)) {
    const path = join(folder, name);
    await writeFile(path, content);
    await expectCode(restoreHome(daemon.home, { file: path, passphrase }), 'BACKUP_UNREADABLE');
  }
  await expectCode(restoreHome(daemon.home, { file, passphrase: 'wrong passphrase' }), 'BACKUP_UNREADABLE');
  assert.deepEqual(await readdir(daemon.home), ['daemon']);
  const again = await TestDaemon.start(t, { home: daemon.home });
  assert.equal(again.running.daemonId, daemon.running.daemonId);
});

test('a rekey leaves the same daemon under another master key', async (t) => {
  const daemon = await TestDaemon.start(t);
  const keyFile = join(daemon.home, 'daemon', 'master.key');
  const before = await readFile(keyFile);
  await expectCode(rekeySecrets(daemon.home, undefined), 'HOME_IN_USE');
  await daemon.stop();
  await cp(join(daemon.home, 'daemon', 'secrets'), join(await scratch(t), 'old'), { recursive: true });
  await rekeySecrets(daemon.home, undefined);
  assert.notDeepEqual(await readFile(keyFile), before);
  const again = await TestDaemon.start(t, { home: daemon.home });
  assert.equal(again.running.rootFingerprint, daemon.running.rootFingerprint);
});

test('the doctor finds nothing on a sound home, and what is wrong on another', async (t) => {
  const daemon = await TestDaemon.start(t);
  const verdicts = async (now = new Date()) =>
    Object.fromEntries((await examineHome(daemon.home, now)).map(({ check, verdict }) => [check, verdict]));
  const sound = await verdicts();
  assert.deepEqual(new Set(Object.values(sound)), new Set(['ok']), JSON.stringify(sound));
  assert.equal((await verdicts(new Date(Date.now() - 86_400_000))).clock, 'problem');
  assert.equal((await verdicts(new Date(Date.now() + 9.5 * 365 * 86_400_000))).authority, 'problem');
  await daemon.stop();
  const secrets = join(daemon.home, 'daemon', 'secrets');
  const generation = (await readdir(secrets, { withFileTypes: true })).find((each) =>
    each.isDirectory(),
  )!.name;
  const [first] = await readdir(join(secrets, generation));
  await writeFile(join(secrets, generation, first!), 'plaintext', { mode: 0o600 });
  assert.equal((await verdicts()).secrets, 'problem');
  await chmod(daemon.home, 0o755);
  assert.deepEqual(await verdicts(), { home: 'problem' });
});
