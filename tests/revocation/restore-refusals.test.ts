// A restore of an earlier backup brings back no refused device or certificate.

import assert from 'node:assert/strict';
import { cp, lstat, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test, { type TestContext } from 'node:test';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  type PairedEnrollment,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { PairingState } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const passphrase = 'correct horse battery';
const quick = { scryptLogN: 10 };

interface Place {
  readonly folder: string;
  readonly file: string;
  readonly options: TestDaemonOptions;
}

async function place(): Promise<Place> {
  const folder = temporaryFolder();
  const ports = { pairing: await freePort(), node: await freePort() };
  return { folder, file: join(folder, 'backup.age'), options: { home: join(folder, 'home'), ports } };
}

const registryOf = (home: string) => join(home, 'daemon', 'registry.sqlite');
const serialOf = (enrollment: PairedEnrollment) =>
  readPeerCertificate(enrollment.certificateChain[0]!).serial;

/** Pairs with an auto-approve code. */
async function pairByItself(daemon: TestDaemon, device: SampleDevice): Promise<PairedEnrollment> {
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const pending = await requestPairing(
    device,
    await daemon.peer(),
    parsePairingCode(code),
    daemon.pairingAddress,
  );
  const { state } = await daemon.admin.getPairing({ id: pending.requestId });
  assert.ok(
    state === PairingState.APPROVED || state === PairingState.ISSUED,
    `the operator must decide: ${state}`,
  );
  return collect(daemon, device, pending);
}

for (const [who, lose] of Object.entries<(daemon: TestDaemon, folder: string) => Promise<void>>({
  'a lost registry': async ({ home }) => rm(registryOf(home)),
  'a start that failed on a lost registry': async (daemon) => {
    await rm(registryOf(daemon.home));
    await expectCode(
      TestDaemon.start({ after: () => {} } as unknown as TestContext, { home: daemon.home }),
      'REGISTRY_LOST',
    );
  },
  'an empty registry': async ({ home }) => {
    await rm(registryOf(home));
    await writeFile(registryOf(home), '', { mode: 0o600 });
  },
  'the registry of another daemon': async ({ home }, folder) => {
    const other = await TestDaemon.start({ after: () => {} } as unknown as TestContext, {
      home: join(folder, 'other'),
    });
    await other.stop();
    await rm(registryOf(home));
    await cp(registryOf(other.home), registryOf(home));
  },
  'a registry from before the backup': async ({ home }, folder) => {
    await rm(registryOf(home));
    await cp(join(folder, 'older.sqlite'), registryOf(home));
  },
  'a registry in which somebody undid the revocation': async ({ home }) => {
    const raw = new DatabaseSync(registryOf(home));
    raw.exec("UPDATE devices SET state = 'active' WHERE state = 'revoked'");
    raw.close();
  },
})) {
  test(`${who} is not enough evidence: the operator has to name the revocations`, async (t) => {
    const { folder, file, options } = await place();
    const first = await TestDaemon.start(t, options);
    await first.stop();
    await cp(registryOf(first.home), join(folder, 'older.sqlite'));
    const daemon = await TestDaemon.start(t, options);
    const device = await makeDevice();
    const enrollment = await pair(daemon, device);
    await (await daemon.node(enrollment)).status({});
    await backupHome(daemon.home, file, passphrase, quick);
    await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'stolen' });
    await daemon.stop();
    await lose(daemon, folder);
    await expectCode(restoreHome(daemon.home, { file, passphrase }), 'REVOCATIONS_UNKNOWN');
    // With a mistyped id, the intended device would come back.
    const { id } = device.identity;
    const mistyped = `${id.slice(0, -1)}${id.endsWith('X') ? 'Y' : 'X'}`;
    for (const wrong of [mistyped, mistyped.slice(-8), id.slice(-3), '', id.slice(0, 25) + id])
      await assert.rejects(restoreHome(daemon.home, { file, passphrase, revokedSince: [id, wrong] }), {
        code: 'DEVICE_NOT_FOUND',
        message: /is not a device in the backup/,
      });
    await restoreHome(daemon.home, { file, passphrase, revokedSince: [id.slice(-8).toLowerCase()] });
    const again = await TestDaemon.start(t, options);
    await expectCode((await again.node(enrollment)).status({}), 'DEVICE_REVOKED');
    assert.equal((await again.admin.verifyAudit({})).ok, true);
  });
}

test('a revoked device from after the backup stays out with its id and keys, even with an auto-approve code', async (t) => {
  for (const revokedSince of [undefined, 'named'] as const) {
    const { file, options } = await place();
    const daemon = await TestDaemon.start(t, options);
    await backupHome(daemon.home, file, passphrase, quick);
    const [gone, fine] = [await makeDevice(), await makeDevice()];
    const enrollment = await pair(daemon, gone);
    await pair(daemon, fine);
    await (await daemon.node(enrollment)).status({});
    await daemon.admin.revokeDevice({ id: gone.identity.id, reason: 'stolen' });
    await daemon.stop();
    if (revokedSince) await rm(registryOf(daemon.home));
    const { revoked } = await restoreHome(daemon.home, {
      file,
      passphrase,
      ...(revokedSince && { revokedLater: [gone.identity.id] }),
    });
    assert.deepEqual(revoked, [gone.identity.id]);
    const again = await TestDaemon.start(t, options);
    await expectCode(pairByItself(again, gone), 'DEVICE_REVOKED');
    const other = { ...gone, identity: await sameIdOtherKey(gone.identity) };
    await expectCode(pairByItself(again, other), 'DEVICE_REVOKED');
    // This device was never refused.
    await pairByItself(again, fine);
    assert.equal((await again.admin.verifyAudit({})).ok, true);
    await again.stop();
  }
});

test('a replaced identity key stays refused, even for a device from after the backup', async (t) => {
  const { file, options } = await place();
  const daemon = await TestDaemon.start(t, options);
  await backupHome(daemon.home, file, passphrase, quick);
  const stolen = await makeDevice();
  await pair(daemon, stolen);
  const reinstalled = { ...stolen, identity: await sameIdOtherKey(stolen.identity) };
  await pair(daemon, reinstalled, { replaceIdentityKey: true });
  await daemon.stop();
  await restoreHome(daemon.home, { file, passphrase });
  const again = await TestDaemon.start(t, options);
  await assert.rejects(pairByItself(again, stolen), /the operator must decide/);
  await pairByItself(again, reinstalled);
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('an identity key that was replaced before the backup stays refused, whatever older or diverged registry is in the home', async (t) => {
  for (const history of ['older', 'another'] as const) {
    const { folder, file, options } = await place();
    const daemon = await TestDaemon.start(t, options);
    const stolen = await makeDevice();
    const old = await pair(daemon, stolen);
    await (await daemon.node(old)).status({});
    await daemon.stop();
    await cp(registryOf(daemon.home), join(folder, 'older.sqlite'));
    const later = await TestDaemon.start(t, options);
    const reinstalled = { ...stolen, identity: await sameIdOtherKey(stolen.identity) };
    const present = await pair(later, reinstalled, { replaceIdentityKey: true });
    await (await later.node(present)).status({});
    await backupHome(later.home, file, passphrase, quick);
    await later.stop();
    await rm(registryOf(later.home));
    await cp(join(folder, 'older.sqlite'), registryOf(later.home));
    if (history === 'another') {
      const astray = await TestDaemon.start(t, options);
      await pair(astray, await makeDevice());
      await astray.stop();
    }
    await restoreHome(later.home, { file, passphrase, revokedSince: 'none' });
    const again = await TestDaemon.start(t, options);
    const recover = (device: SampleDevice, enrollment: PairedEnrollment) =>
      recoverOver(again, { device, enrollment });
    await expectCode(recover(stolen, old), 'DEVICE_NOT_FOUND');
    await expectCode(
      (await again.node(old)).status({}),
      history === 'older' ? 'CERTIFICATE_REVOKED' : 'DEVICE_QUARANTINED',
    );
    // Neither of two diverged histories is newer, so the operator has to decide.
    if (history === 'older') await (await again.node(present)).status({});
    else await expectCode((await again.node(present)).status({}), 'DEVICE_QUARANTINED');
    assert.equal((await again.admin.verifyAudit({})).ok, true);
    await again.stop();
  }
});

test('a certificate that was superseded after the backup stays superseded, and its use is reported', async (t) => {
  const clock = new HeldClock(Date.now() - 20 * minute);
  const { file, options } = await place();
  const daemon = await TestDaemon.start(t, { ...options, clock });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  const node = await daemon.node(old);
  await node.status({});
  await backupHome(daemon.home, file, passphrase, { ...quick, clock });
  const renewed = await renewCertificate(device, old, (proof) => node.renew(proof));
  await (await daemon.node(renewed)).status({});
  await daemon.stop();
  await restoreHome(daemon.home, { file, passphrase, clock });
  clock.advance(5 * minute);
  const again = await TestDaemon.start(t, { ...options, clock });
  await expectCode((await again.node(old)).status({}), 'CERTIFICATE_SUPERSEDED');
  assert.ok(
    again.events.some(({ type }) => type === 'clone_suspected'),
    'it is reported',
  );
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('the mark of a possible copy, a quarantine and a question to the operator survive a restore, and a used release stays used', async (t) => {
  const clock = new HeldClock(Date.now() - 20 * minute);
  const { file, options } = await place();
  const daemon = await TestDaemon.start(t, { ...options, clock, cloning: 'quarantine' });
  const { identity } = daemon.running;
  const enter = async (name: string) => {
    const device = await makeDevice({ clock, name });
    const enrollment = await pair(daemon, device);
    await (await daemon.node(enrollment)).status({});
    return { device, enrollment, id: device.identity.id };
  };
  const [copied, released] = [await enter('copied'), await enter('released')];
  // The operator allows a recovery, which the device uses after the backup.
  await identity.revokeCertificate(serialOf(released.enrollment), 'leaked');
  const recover = (daemonNow: TestDaemon) => recoverOver(daemonNow, released);
  await expectCode(recover(daemon), 'RECOVERY_NEEDS_APPROVAL');
  await identity.releaseDevice(released.id);
  await backupHome(daemon.home, file, passphrase, { ...quick, clock });
  await recover(daemon);
  const late = await enter('late');
  for (const { device, enrollment } of [copied, late]) {
    const node = await daemon.node(enrollment);
    const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
    await (await daemon.node(renewed)).status({});
  }
  clock.advance(5 * minute);
  for (const { enrollment } of [copied, late])
    await expectCode((await daemon.node(enrollment)).status({}), 'CERTIFICATE_SUPERSEDED');
  assert.equal((await identity.registry.device(copied.id))?.state, 'quarantined');
  await daemon.stop();

  await restoreHome(daemon.home, { file, passphrase, clock });
  const again = await TestDaemon.start(t, { ...options, clock });
  const { registry } = again.running.identity;
  for (const { id } of [copied, late]) {
    const device = await registry.device(id);
    assert.ok(device?.state === 'quarantined');
    assert.ok(device.cloneSeenAt);
  }
  await expectCode((await again.node(copied.enrollment)).status({}), 'DEVICE_QUARANTINED');
  await assert.rejects(pairByItself(again, late.device));
  const unreleased = await registry.device(released.id);
  assert.ok(unreleased?.state === 'active' && unreleased.recovery?.state !== 'released');
  await expectCode(recover(again), 'RECOVERY_NEEDS_APPROVAL');
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('the next start finishes a restore that was killed between its renames, but not one that was killed earlier', async (t) => {
  const { folder, file, options } = await place();
  const daemon = await TestDaemon.start(t, options);
  const { daemonId } = daemon.running;
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  await backupHome(daemon.home, file, passphrase, quick);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'stolen' });
  await daemon.stop();
  const present = join(daemon.home, 'daemon');
  const revoked = join(folder, 'revoked');
  await cp(present, revoked, { recursive: true });
  await restoreHome(daemon.home, { file, passphrase });
  const restored = join(daemon.home, 'daemon.restored');
  await rename(present, restored);
  const again = await TestDaemon.start(t, options);
  assert.equal(again.running.daemonId, daemonId);
  await expectCode((await again.node(enrollment)).status({}), 'DEVICE_REVOKED');
  await again.stop();
  // A start never replaces an existing daemon, and leftover files are never used later.
  await cp(revoked, restored, { recursive: true });
  const third = await TestDaemon.start(t, options);
  await expectCode((await third.node(enrollment)).status({}), 'DEVICE_REVOKED');
  await assert.rejects(lstat(restored), { code: 'ENOENT' });
  await third.stop();
  await rm(present, { recursive: true });
  await cp(revoked, join(daemon.home, 'daemon.restoring'), { recursive: true });
  const fresh = await TestDaemon.start(t, options);
  assert.notEqual(fresh.running.daemonId, daemonId);
});

test('a root that was retired since does not come back: the next root signs if the backup has it, otherwise the restore is refused', async (t) => {
  const { folder, options } = await place();
  const daemon = await TestDaemon.start(t, options);
  const { rootRotation } = daemon.running.identity;
  const backUp = (name: string) => backupHome(daemon.home, join(folder, name), passphrase, quick);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  await backUp('before.age');
  await rootRotation.prepare();
  await backUp('prepared.age');
  await rootRotation.activate(true);
  await daemon.running.identity.reloadAuthority();
  await backUp('activated.age');
  const second = daemon.running.identity.rootFingerprint;
  await rootRotation.finish(true);
  await daemon.stop();
  await cp(daemon.home, join(folder, 'kept'), {
    recursive: true,
    filter: (path) => !path.endsWith('admin.sock'),
  });
  await expectCode(
    restoreHome(daemon.home, { file: join(folder, 'before.age'), passphrase }),
    'ROTATION_CONFLICT',
  );
  for (const name of ['prepared.age', 'activated.age']) {
    await rm(daemon.home, { recursive: true });
    await cp(join(folder, 'kept'), daemon.home, { recursive: true });
    await restoreHome(daemon.home, { file: join(folder, name), passphrase });
    const again = await TestDaemon.start(t, options);
    assert.equal(again.running.rootFingerprint, second, name);
    assert.equal(again.running.identity.trustBundle.length, 1, name);
    assert.equal((await again.running.identity.rootRotation.status()).phase, 'none');
    await assert.rejects(async () => (await again.node(enrollment)).status({}));
    assert.equal((await again.admin.verifyAudit({})).ok, true, name);
    await again.stop();
  }
});

async function recoverOver(
  { running: { identity } }: TestDaemon,
  { device, enrollment }: { device: SampleDevice; enrollment: PairedEnrollment },
) {
  const channel = { channelBinding: new Uint8Array(32), source: '192.0.2.9' };
  return recoverCertificate(device, enrollment, {
    channelBinding: channel.channelBinding,
    challenge: async () => identity.renewals.challenge(channel),
    recover: (proven) => identity.renewals.recover(channel, proven),
  });
}
