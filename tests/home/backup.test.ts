// Backup, restore, rekey and doctor, on real homes.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, cp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { backupHome, examineHome, rekeySecrets, restoreHome } from '@palyra/daemon/home';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  awaitPairing,
  type PairedEnrollment,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { putRestored } from '@palyra/identity/registry';
import { collectRevocationLists, dialPairing, recoveryPeer } from '@palyra/rpc';
import { DeviceRole } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import {
  collect,
  makeDevice,
  pair,
  request,
  type SampleDevice,
  sameIdOtherKey,
} from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { longestWaitMs, until } from '../testing/until.ts';

const passphrase = 'correct horse battery';
/** A low cost, because these tests are not about guessing. */
const quick = { scryptLogN: 10 };

test('a backup made while the daemon runs brings the same daemon back on an empty home', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const folder = temporaryFolder();
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

test('a restore never brings back a device or certificate that was revoked after the backup', async (t) => {
  const daemon = await TestDaemon.start(t);
  const [lost, kept] = [await makeDevice(), await makeDevice()];
  const [one, two] = [await pair(daemon, lost), await pair(daemon, kept, { operator: true })];
  for (const each of [one, two]) await (await daemon.node(each)).status({});
  const folder = temporaryFolder();
  const file = join(folder, 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await daemon.admin.revokeDevice({ id: lost.identity.id, reason: 'stolen' });
  await daemon.stop();

  // The replaced registry knows it.
  const { revoked, replaced } = await restoreHome(daemon.home, { file, passphrase });
  assert.deepEqual(revoked, [lost.identity.id]);
  assert.ok(replaced);
  const again = await TestDaemon.start(t, { home: daemon.home });
  await expectCode((await again.node(one)).status({}), 'DEVICE_REVOKED');
  await (await again.node(two)).status({});
  const roleOf = async ({ admin }: TestDaemon) =>
    (await admin.getDevice({ id: kept.identity.id })).device?.role;
  assert.equal(await roleOf(again), DeviceRole.OPERATOR);
  await again.stop();

  // Without that registry, the operator has to say it.
  const empty = join(folder, 'empty');
  const refused = await expectCode(restoreHome(empty, { file, passphrase }), 'REVOCATIONS_UNKNOWN');
  assert.match(refused.message, /a device that was revoked since would come back/);
  await restoreHome(empty, { file, passphrase, revokedSince: [lost.identity.id] });
  const third = await TestDaemon.start(t, { home: empty });
  assert.equal(await roleOf(third), DeviceRole.DEVICE, 'the role may have been removed since');
  await expectCode((await third.node(one)).status({}), 'DEVICE_REVOKED');
});

test('a restore revives no code, returns no guess, and undoes no decision', async (t) => {
  const daemon = await TestDaemon.start(t);
  const minted = await daemon.admin.mintCode({ autoApprove: true });
  const untouched = await daemon.admin.mintCode({});
  const [refused, awaited] = [await makeDevice(), await makeDevice()];
  const [pending, approved] = [await request(daemon, refused), await request(daemon, awaited)];
  await daemon.admin.approvePairing({ id: approved.requestId });
  const file = join(temporaryFolder(), 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  const parsed = parsePairingCode(minted.code);
  await requestPairing(await makeDevice(), await daemon.peer(), parsed, daemon.pairingAddress);
  await daemon.admin.rejectPairing({ id: pending.requestId, reason: 'not mine' });
  await daemon.stop();

  await restoreHome(daemon.home, { file, passphrase });
  const again = await TestDaemon.start(t, { home: daemon.home });
  await expectCode(
    requestPairing(await makeDevice(), await again.peer(), parsed, again.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  assert.deepEqual((await again.admin.listPairings({ openOnly: true })).pairings, []);
  for (const [id, action] of [
    [minted.pairingId, 'code.withdrawn'],
    [untouched.pairingId, 'code.withdrawn'],
    [pending.requestId, 'request.rejected'],
    [approved.requestId, 'request.rejected'],
  ] as const) {
    const [last] = (await again.admin.listAudit({ subject: id })).entries;
    assert.equal(last?.action, action);
    assert.match(last.detailJson, /restored from a backup/);
  }
  await expectCode(collect(again, awaited, approved), 'PAIRING_REJECTED');
  await pair(again, awaited);
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('each device and certificate that was shut out stays out after a restore', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const [leaked, reinstalled, lost] = [await makeDevice(), await makeDevice(), await makeDevice()];
  const { identity } = daemon.running;
  const [one, two, three] = [
    await pair(daemon, leaked),
    await pair(daemon, reinstalled),
    await pair(daemon, lost),
  ];
  for (const each of [one, two, three]) await (await daemon.node(each)).status({});
  await identity.setDeviceRole(leaked.identity.id, 'operator');
  const file = join(temporaryFolder(), 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await identity.setDeviceRole(leaked.identity.id, 'device');

  const serialOf = (enrollment: PairedEnrollment) =>
    readPeerCertificate(enrollment.certificateChain[0]!).serial;
  await daemon.admin.revokeCertificate({ serial: serialOf(one), reason: 'leaked' });
  const successor = await makeDevice({ identity: await sameIdOtherKey(reinstalled.identity) });
  const succeeded = await pair(daemon, successor, { replaceIdentityKey: true });
  const node = await daemon.node(three);
  const renewed = await renewCertificate(lost, three, (proof) => node.renew(proof));
  await daemon.admin.revokeDevice({ id: lost.identity.id, reason: 'lost' });
  const [before] = await collectRevocationLists(daemon.admin.getRevocationLists({}));
  await daemon.stop();

  const { revoked } = await restoreHome(daemon.home, { file, passphrase });
  assert.deepEqual(revoked, [lost.identity.id]);
  const again = await TestDaemon.start(t, { home: daemon.home, ports });
  await expectCode((await again.node(one)).status({}), 'CERTIFICATE_REVOKED');
  assert.equal((await again.running.identity.registry.device(leaked.identity.id))?.role, 'device');
  await expectCode((await again.node(two)).status({}), 'CERTIFICATE_REVOKED');
  await expectCode((await again.node(renewed)).status({}), 'DEVICE_REVOKED');
  const recover = async (device: SampleDevice, enrollment: PairedEnrollment) => {
    const connection = await dialPairing(enrollment.address, enrollment);
    again.closeAtEnd(connection);
    return recoverCertificate(device, enrollment, recoveryPeer(connection));
  };
  await expectCode(recover(reinstalled, two), 'DEVICE_NOT_FOUND');
  await expectCode(recover(successor, succeeded), 'RECOVERY_NEEDS_APPROVAL');
  await again.admin.releaseDevice({ id: successor.identity.id });
  await (await again.node(await recover(successor, succeeded))).status({});
  const [after] = await collectRevocationLists(again.admin.getRevocationLists({}));
  assert.ok(after!.number > before!.number);
  const listed = Buffer.concat(after!.der).toString('hex');
  for (const each of [one, two, three, renewed]) assert.ok(listed.includes(serialOf(each)));
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('an active device is not suspected for facts that the restore lost', async (t) => {
  const clock = new HeldClock();
  const identity = await openIdentity(t, { clock });
  const [present, absent] = [await makeDevice({ clock }), await makeDevice({ clock })];
  const pairHere = async (device: SampleDevice) => {
    const { code } = await identity.desk.mint({ kind: 'typed', address: 'x:1' });
    const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'x:1');
    await identity.desk.approve(pending.requestId);
    const signal = AbortSignal.timeout(longestWaitMs);
    return awaitPairing(device, peerOf(identity), pending, { signal });
  };
  const recoverHere = async (device: SampleDevice, enrollment: PairedEnrollment) => {
    const channel = { channelBinding: new Uint8Array(32), source: '127.0.0.1' };
    return recoverCertificate(device, enrollment, {
      channelBinding: channel.channelBinding,
      challenge: async () => identity.renewals.challenge(channel),
      recover: (proven) => identity.renewals.recover(channel, proven),
    });
  };
  const gone = await pairHere(absent);
  clock.advance(20 * day);
  const here = await pairHere(present);
  await identity.admit(readPeerCertificate(here.certificateChain[0]!).fingerprint);
  const madeAtMs = clock.now().getTime();
  clock.advance(40 * day);
  await expectCode(recoverHere(present, here), 'RECOVERY_NEEDS_APPROVAL');
  const atMs = clock.now().getTime();
  await identity.registry.transact((tx) => putRestored(tx, { atMs, madeAtMs }));
  clock.advance(11 * day);
  await recoverHere(present, here);
  await expectCode(recoverHere(absent, gone), 'RECOVERY_NEEDS_APPROVAL');
});

test('a certificate from after the backup is unknown, and its device recovers by its identity key', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const file = join(temporaryFolder(), 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  const node = await daemon.node(enrollment);
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
  const folder = temporaryFolder();
  const file = join(folder, 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await expectCode(backupHome(daemon.home, file, 'password', quick), 'PASSPHRASE_WEAK');
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

test('a backup opens with its passphrase as another system types it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const folder = temporaryFolder();
  for (const [forBackup, forRestore] of [
    ['NFC', 'NFD'],
    ['NFD', 'NFC'],
  ] as const) {
    const umlauts = 'Zwölf Boxkämpfer jagen Viktor';
    const file = join(folder, forBackup);
    await backupHome(daemon.home, file, umlauts.normalize(forBackup), quick);
    const home = join(folder, `home-${forBackup}`);
    await restoreHome(home, { file, passphrase: umlauts.normalize(forRestore), revokedSince: 'none' });
  }
});

test('a rekey leaves the same daemon under another master key', async (t) => {
  const daemon = await TestDaemon.start(t);
  const keyFile = join(daemon.home, 'daemon', 'master.key');
  const before = await readFile(keyFile);
  await expectCode(rekeySecrets(daemon.home, undefined), 'HOME_IN_USE');
  await daemon.stop();
  await cp(join(daemon.home, 'daemon', 'secrets'), join(temporaryFolder(), 'old'), { recursive: true });
  await rekeySecrets(daemon.home, undefined);
  assert.notDeepEqual(await readFile(keyFile), before);
  const again = await TestDaemon.start(t, { home: daemon.home });
  assert.equal(again.running.rootFingerprint, daemon.running.rootFingerprint);
});

test('the doctor finds no fault in an intact home, and each fault in a damaged one', async (t) => {
  const daemon = await TestDaemon.start(t);
  const verdicts = async (now = new Date()) =>
    Object.fromEntries((await examineHome(daemon.home, now)).map(({ check, verdict }) => [check, verdict]));
  await pair(daemon, await makeDevice());
  const code = parsePairingCode((await daemon.admin.mintCode({})).code);
  await requestPairing(await makeDevice(), await daemon.peer(), code, daemon.pairingAddress);
  const registry = (await examineHome(daemon.home, new Date())).find(({ check }) => check === 'registry');
  assert.equal(registry?.message, 'The registry opens: 1 device, 1 waiting request.');
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
  assert.equal((await verdicts()).home, 'problem');
});

test('a backup replaces a file only on request, and only an earlier backup of the same daemon', async (t) => {
  const [daemon, other] = [await TestDaemon.start(t), await TestDaemon.start(t)];
  const folder = temporaryFolder();
  const file = join(folder, 'backup.age');
  const replace = { ...quick, replace: true };
  // Any other file of the user is kept, whatever its name.
  const own = ['backup.age.registry', 'backup.age.registry-wal', 'backup.age.partial'];
  for (const name of own) await writeFile(join(folder, name), 'mine');
  await backupHome(daemon.home, file, passphrase, quick);
  const first = await readFile(file);
  await expectCode(backupHome(daemon.home, file, passphrase, quick), 'BACKUP_EXISTS');
  await expectCode(backupHome(other.home, file, passphrase, replace), 'BACKUP_EXISTS');
  await expectCode(backupHome(daemon.home, file, 'another correct horse battery', replace), 'BACKUP_EXISTS');
  await expectCode(backupHome(daemon.home, join(folder, own[0]!), passphrase, replace), 'BACKUP_EXISTS');
  assert.deepEqual(await readFile(file), first);
  await pair(daemon, await makeDevice());
  const second = await backupHome(daemon.home, file, passphrase, replace);
  assert.equal(second.devices, 1);
  assert.deepEqual((await readdir(folder)).sort(), ['backup.age', ...own].sort());
  for (const name of own) assert.equal(await readFile(join(folder, name), 'utf8'), 'mine', name);

  // A restored daemon knows less than the file.
  await daemon.stop();
  const old = join(folder, 'old.age');
  await writeFile(old, first);
  await restoreHome(daemon.home, { file: old, passphrase });
  await expectCode(backupHome(daemon.home, file, passphrase, replace), 'BACKUP_EXISTS');
});

test('a backup does not replace a file that was created or changed in the meantime', async (t) => {
  const daemon = await TestDaemon.start(t);
  const folder = temporaryFolder();
  const file = join(folder, 'backup.age');
  const copies = join(daemon.home, 'daemon', 'copies');
  /** The backup has already inspected the file by then. */
  const isBeingWritten = async () => {
    const [copy] = await readdir(copies).catch(() => []);
    return copy !== undefined && existsSync(join(copies, copy, 'unfinished'));
  };
  for (const before of ['none', 'an earlier backup']) {
    if (before !== 'none') {
      await rm(file);
      await backupHome(daemon.home, file, passphrase, quick);
    }
    const slow = { scryptLogN: 18, replace: true };
    const made = expectCode(backupHome(daemon.home, file, passphrase, slow), 'BACKUP_EXISTS');
    await until('the file is being written', isBeingWritten);
    await writeFile(join(folder, 'mine'), 'mine');
    await rename(join(folder, 'mine'), file);
    await made;
    assert.equal(await readFile(file, 'utf8'), 'mine', before);
    assert.deepEqual(await readdir(folder), ['backup.age']);
  }
});

test('a home whose registry is lost, empty or of another daemon is not backed up', async (t) => {
  const [daemon, other] = [await TestDaemon.start(t), await TestDaemon.start(t)];
  const folder = temporaryFolder();
  await daemon.stop();
  await other.stop();
  const path = join(daemon.home, 'daemon', 'registry.sqlite');
  const file = join(folder, 'backup.age');
  await rm(path);
  await expectCode(backupHome(daemon.home, file, passphrase, quick), 'REGISTRY_LOST');
  await writeFile(path, '', { mode: 0o600 });
  await expectCode(backupHome(daemon.home, file, passphrase, quick), 'REGISTRY_LOST');
  await cp(join(other.home, 'daemon', 'registry.sqlite'), path);
  await expectCode(backupHome(daemon.home, file, passphrase, quick), 'REGISTRY_LOST');
  assert.deepEqual(await readdir(folder), []);
  assert.ok(!(await readdir(join(daemon.home, 'daemon'))).includes('copies'));
});

test('a restore reports that a disk is mounted at the daemon’s folder, and leaves the previous state alone', async (t) => {
  const daemon = await TestDaemon.start(t);
  const file = join(temporaryFolder(), 'backup.age');
  await backupHome(daemon.home, file, passphrase, quick);
  await daemon.stop();
  const folder = join(daemon.home, 'daemon');
  const mounted = spawnSync('mount', ['--bind', folder, folder], { encoding: 'utf8' });
  if (mounted.status !== 0) return t.skip(`NOT TESTED: mounting needs root, on Linux: ${mounted.stderr}`);
  const unmount = () => spawnSync('umount', ['--lazy', folder]);
  t.after(unmount);
  const before = await readdir(folder);
  await assert.rejects(restoreHome(daemon.home, { file, passphrase }), {
    code: 'STORE_FAILED',
    message: `${folder} cannot be replaced: a disk is mounted there. Nothing was changed. Mount it at ${daemon.home} instead, with the folder daemon in it, and restore again.`,
  });
  assert.deepEqual(await readdir(daemon.home), ['daemon']);
  assert.deepEqual(await readdir(folder), before);
  unmount();
  await restoreHome(daemon.home, { file, passphrase });
});
