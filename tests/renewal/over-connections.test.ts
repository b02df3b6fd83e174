// Renewal and recovery over real connections: nobody is locked out, and nothing that was shut out comes back.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { FilesystemSecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  loadEnrollments,
  type PairedEnrollment,
  type RenewingDevice,
  recoverCertificate,
  renewalTime,
  renewCertificate,
  storeEnrollment,
} from '@palyra/identity/device';
import { masterKeyFromText } from '@palyra/identity/keys';
import type { KeyProof } from '@palyra/identity/pairing';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { certificateStates, ExplainResponse_Decision } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute, second } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';
import { mountSmallDisk } from '../testing/small-disk.ts';

const serialOf = (enrollment: PairedEnrollment) =>
  readPeerCertificate(enrollment.certificateChain[0]!).serial;

/** Renews over a connection of the present certificate. */
async function renew(daemon: TestDaemon, device: RenewingDevice, enrollment: PairedEnrollment) {
  const node = await daemon.node(enrollment);
  return renewCertificate(device, enrollment, (proof) => node.renew(proof));
}

async function recover(daemon: TestDaemon, device: RenewingDevice, enrollment: PairedEnrollment) {
  const connection = await dialPairing(enrollment.address, enrollment);
  daemon.closeAtEnd(connection);
  return recoverCertificate(device, enrollment, recoveryPeer(connection));
}

async function statesOf(daemon: TestDaemon, device: SampleDevice): Promise<Record<string, string>> {
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  return Object.fromEntries(certificates.map(({ serial, state }) => [serial, certificateStates.show(state)]));
}

test('a renewed certificate becomes active when it is used, and only then is the old one superseded', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const old = await pair(daemon, device);
  const renewed = await renew(daemon, device, old);
  assert.notDeepEqual(renewed.tlsKey, old.tlsKey);
  assert.deepEqual(await statesOf(daemon, device), {
    [serialOf(old)]: 'active',
    [serialOf(renewed)]: 'issued',
  });
  // The answer might have been lost: the old one still works.
  await (await daemon.node(old)).status({});
  await (await daemon.node(renewed)).status({});
  assert.deepEqual(await statesOf(daemon, device), {
    [serialOf(old)]: 'superseded',
    [serialOf(renewed)]: 'active',
  });
  await expectCode((await daemon.node(old)).status({}), 'CERTIFICATE_SUPERSEDED');
  assert.deepEqual(await loadEnrollments(device.secrets), [renewed]);
});

test('answers that were lost lock nobody out, and do not pile up', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const lost: PairedEnrollment[] = [];
  for (let count = 0; count < 10; count += 1) {
    clock.advance(second);
    lost.push(await (count < 5 ? renew : recover)(daemon, device, enrollment));
  }
  const states = await statesOf(daemon, device);
  assert.equal(states[serialOf(enrollment)], 'active');
  const unused = lost.map((each) => states[serialOf(each)]);
  assert.deepEqual(unused, [...Array(2).fill('superseded'), ...Array(8).fill('issued')]);
  const { devices } = await daemon.admin.listDevices({});
  const { notAfter } = readPeerCertificate(enrollment.certificateChain[0]!);
  assert.equal(Number(devices[0]!.certificateNotAfterMs), notAfter.getTime(), 'of the one that is in use');
  await expectCode((await daemon.node(lost[1]!)).status({}), 'CERTIFICATE_SUPERSEDED');
  await (await daemon.node(lost[2]!)).status({});
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a device whose disk is full stops before the daemon is asked, and renews when there is space', async (t) => {
  const disk = await mountSmallDisk(t, 256 * 1024);
  if (!disk) return;
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const masterKey = masterKeyFromText('7'.repeat(64));
  const secrets = await FilesystemSecretStore.open({ path: join(disk.path, 'secrets'), masterKey });
  t.after(() => secrets.close());
  await storeEnrollment(secrets, enrollment);
  await disk.fill();
  const onDisk = { ...device, secrets };
  await expectCode(renew(daemon, onDisk, enrollment), 'STORE_FULL');
  await expectCode(recover(daemon, onDisk, enrollment), 'STORE_FULL');
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['active']);
  await disk.free();
  const renewed = await renew(daemon, onDisk, enrollment);
  await (await daemon.node(renewed)).status({});
  assert.deepEqual(await loadEnrollments(secrets), [renewed]);
  assert.deepEqual((await secrets.list()).length, 1);
});

test('a device cannot fill the registry with certificates, though it uses each', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  let enrollment = await pair(daemon, device);
  for (let count = 1; count < 20; count += 1) enrollment = await renew(daemon, device, enrollment);
  const limited = await expectCode(renew(daemon, device, enrollment), 'TOO_MANY_REQUESTS');
  assert.equal(limited.retryAfterMs, 10 * minute);
  await (await daemon.node(enrollment)).status({});
  clock.advance(10 * minute);
  await renew(daemon, device, enrollment);
});

test('a device with very many certificates that have not ended gets more at a pace, and never waits for an end', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const { registry } = daemon.running.identity;
  const [newest] = await registry.certificatesOf(device.identity.id, 1);
  clock.advance(12 * hour);
  await registry.transact(async (tx) => {
    for (let count = 2; count < 500; count += 1) {
      const hex = count.toString(16);
      await tx.insertCertificate({
        ...newest!,
        serial: `01${hex.padStart(30, '0')}`,
        fingerprint: hex.padStart(64, '0'),
        keySha256: new Uint8Array(Buffer.from(hex.padStart(64, '0'), 'hex')),
        createdAt: new Date(newest!.createdAt.getTime() + count),
        state: 'superseded',
      });
    }
  });
  const renewed = await renew(daemon, device, enrollment);
  const limited = await expectCode(renew(daemon, device, enrollment), 'TOO_MANY_REQUESTS');
  const paceMs = day / 500;
  assert.equal(limited.retryAfterMs, paceMs);
  clock.advance(paceMs - 1);
  await expectCode(recover(daemon, device, enrollment), 'TOO_MANY_REQUESTS');
  clock.advance(1);
  await recover(daemon, device, enrollment);
  await (await daemon.node(renewed)).status({});
});

test('a recovery that was under way when another identity key took the id over gets nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const successor = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  const pending = await request(daemon, successor);
  const { registry } = daemon.running.identity;
  const read = registry.device.bind(registry);
  t.mock.method(registry, 'device', async (id: Parameters<typeof read>[0]) => {
    const found = await read(id);
    t.mock.restoreAll();
    await daemon.admin.approvePairing({ id: pending.requestId, replaceIdentityKey: true });
    return found;
  });
  await expectCode(recover(daemon, device, enrollment), 'DEVICE_NOT_FOUND');
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['revoked']);
});

test("a renewal takes both keys: neither signature can be missing, another device's or for another key", async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const node = await daemon.node(enrollment);
  const spoiled = (spoil: (proof: KeyProof) => KeyProof) =>
    renewCertificate(device, enrollment, (proof) => node.renew(spoil(proof)));
  const stranger = { ...device, identity: await sameIdOtherKey(device.identity) };
  await expectCode(
    spoiled((proof) => ({ ...proof, identitySignature: new Uint8Array(64) })),
    'PROOF_WRONG',
  );
  await expectCode(
    spoiled((proof) => ({ ...proof, tlsKeyProof: new Uint8Array(64) })),
    'PROOF_WRONG',
  );
  await expectCode(
    spoiled((proof) => ({ ...proof, tlsKeyProof: new Uint8Array(0) })),
    'PROOF_WRONG',
  );
  await expectCode(
    spoiled((proof) => ({ ...proof, tlsKey: proof.tlsKey.slice(1) })),
    'MESSAGE_INVALID',
  );
  await expectCode(
    renewCertificate(stranger, enrollment, (proof) => node.renew(proof)),
    'PROOF_WRONG',
  );
  assert.equal(Object.keys(await statesOf(daemon, device)).length, 1);
});

test('a certificate for another key than the one asked for is not taken', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const swapped = async () => ({
    certificateChain: enrollment.certificateChain,
    trustBundle: enrollment.trustBundle,
  });
  await expectCode(renewCertificate(device, enrollment, swapped), 'CERTIFICATE_INVALID');
  assert.deepEqual(await loadEnrollments(device.secrets), [enrollment]);
});

test('a device that slept past the end of its certificate recovers by its identity key', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  await (await daemon.node(old)).status({});
  clock.advance(20 * day);
  await expectCode((await daemon.node(old)).status({}), 'CERTIFICATE_EXPIRED');
  const recovered = await recover(daemon, device, old);
  assert.equal((await statesOf(daemon, device))[serialOf(recovered)], 'issued');
});

test('a device that was away for longer than the policy allows comes back when the operator lets it', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  clock.advance(32 * day);
  const { retryAfterMs } = await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  assert.equal(retryAfterMs, minute);
  await letIn(daemon, device, old, /away since/);
});

test('a device whose certificate was revoked recovers when the operator lets it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const old = await pair(daemon, device);
  const { serial } = await (await daemon.node(old)).status({});
  await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
  await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  await letIn(daemon, device, old, /was revoked/);
});

test('after a revocation every recovery is asked about, whichever certificate was used last', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const older = await pair(daemon, device);
  await (await daemon.node(older)).status({});
  // Its answer was lost, and the older one is used on: of the two, the one that is revoked is not the newest.
  const newer = await renew(daemon, device, older);
  const revoke = (enrollment: PairedEnrollment) =>
    daemon.admin.revokeCertificate({ serial: serialOf(enrollment), reason: 'copied' });
  await revoke(older);
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['revoked', 'revoked']);
  await expectCode((await daemon.node(newer)).status({}), 'CERTIFICATE_REVOKED');
  const again = await letIn(daemon, device, older, /was revoked/);
  // Nor does a revoked one that was replaced long ago say nothing.
  const newest = await renew(daemon, device, again);
  await (await daemon.node(newest)).status({});
  await revoke(again);
  await (await daemon.node(newest)).status({});
  await expectCode(recover(daemon, device, newest), 'RECOVERY_NEEDS_APPROVAL');
  assert.equal(
    (await daemon.admin.explain({ id: device.identity.id })).decision,
    ExplainResponse_Decision.ALLOWED,
  );
  // The word from before a revocation is no word after it.
  await daemon.admin.releaseDevice({ id: device.identity.id });
  await revoke(newest);
  await expectCode(recover(daemon, device, newest), 'RECOVERY_NEEDS_APPROVAL');
  // Paired again, it has a new beginning.
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  await recover(daemon, device, paired);
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a renewal that was under way when its certificate was revoked gets nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const { serial } = await (await daemon.node(enrollment)).status({});
  const { registry } = daemon.running.identity;
  const read = registry.device.bind(registry);
  t.mock.method(registry, 'device', async (id: Parameters<typeof read>[0]) => {
    t.mock.restoreAll();
    await daemon.running.identity.revokeCertificate(serial, 'copied');
    return read(id);
  });
  await expectCode(renew(daemon, device, enrollment), 'CERTIFICATE_REVOKED');
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['revoked']);
});

test('a device that recovers again and again needs the operator in the end', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { recoveries: 2 } });
  const device = await makeDevice({ clock });
  let paired = await pair(daemon, device);
  for (let n = 1; n <= 2; n += 1) {
    clock.advance(2 * day);
    paired = await recover(daemon, device, paired);
    await (await daemon.node(paired)).status({});
  }
  clock.advance(2 * day);
  await expectCode(recover(daemon, device, paired), 'RECOVERY_NEEDS_APPROVAL');
  paired = await letIn(daemon, device, paired, /2 times/);
  clock.advance(31 * day);
  await expectCode(recover(daemon, device, paired), 'RECOVERY_NEEDS_APPROVAL');
});

test("with no time to be offline, every recovery is the operator's", async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { recoveryOfflineMs: 0 } });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  clock.advance(day + second);
  await expectCode(recover(daemon, device, paired), 'RECOVERY_NEEDS_APPROVAL');
  const again = await letIn(daemon, device, paired, /every recovery is asked about/);
  // The word was for one recovery, and it is used. That the certificate holds makes no difference.
  await expectCode(recover(daemon, device, again), 'RECOVERY_NEEDS_APPROVAL');
});

test("the operator's word for a recovery does not hold for ever, and a revocation ends it", async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  const { id } = device.identity;
  clock.advance(40 * day);
  await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  await daemon.admin.releaseDevice({ id });
  clock.advance(day);
  await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  await daemon.admin.releaseDevice({ id });
  await daemon.admin.revokeDevice({ id, reason: 'gone' });
  await expectCode(recover(daemon, device, old), 'DEVICE_REVOKED');
});

/** The operator sees that it asks and why, once, and lets it in; only then does it come back. */
async function letIn(
  daemon: TestDaemon,
  device: SampleDevice,
  old: PairedEnrollment,
  why: RegExp,
): Promise<PairedEnrollment> {
  const { id } = device.identity;
  await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  const { entries } = await daemon.admin.listAudit({ subject: id });
  const asked = entries.filter(
    ({ action, atMs }) => action === 'recovery.asked' && atMs === entries[0]?.atMs,
  );
  assert.equal(asked.length, 1);
  assert.match(asked[0]!.detailJson, why);
  const { code, reasons } = await daemon.admin.explain({ id });
  assert.equal(code, 'RECOVERY_NEEDS_APPROVAL');
  assert.match(reasons.join(' '), why);
  assert.ok((await daemon.admin.getDevice({ id })).device!.recoveryAskedMs > 0n);
  const released = await daemon.admin.releaseDevice({ id });
  assert.equal(released.recoveryAskedMs, 0n);
  const recovered = await recover(daemon, device, old);
  await (await daemon.node(recovered)).status({});
  return recovered;
}

test('revoked stays revoked: neither renewal nor recovery brings a device back', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const node = await daemon.node(enrollment);
  await node.status({});
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await expectCode(recover(daemon, device, enrollment), 'DEVICE_REVOKED');
  await expectCode((await daemon.node(enrollment)).renew({}), 'DEVICE_REVOKED');
});

test('a recovery is for one channel, once, and tells a stranger nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const open = async () => {
    const connection = await dialPairing(enrollment.address, enrollment);
    daemon.closeAtEnd(connection);
    return recoveryPeer(connection);
  };
  const [here, there] = [await open(), await open()];
  let sent: Parameters<typeof here.recover>[0] | undefined;
  await recoverCertificate(device, enrollment, {
    ...here,
    recover: (request) => {
      sent = request;
      return here.recover(request);
    },
  });
  await expectCode(here.recover(sent!), 'SESSION_NOT_FOUND');
  const challenge = await there.challenge();
  await expectCode(here.recover({ ...sent!, challenge }), 'SESSION_NOT_FOUND');
  await expectCode(there.recover({ ...sent!, challenge }), 'DEVICE_NOT_FOUND');
  const unknown = await makeDevice();
  await expectCode(recoverCertificate(unknown, enrollment, there), 'DEVICE_NOT_FOUND');
  const thief = { ...device, identity: await sameIdOtherKey(device.identity) };
  await expectCode(recoverCertificate(thief, enrollment, there), 'DEVICE_NOT_FOUND');
});

test('every answer with a certificate asks for a renewal within the bounds, and a device follows it', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  const renewed = await renew(daemon, device, paired);
  const recovered = await recover(daemon, device, renewed);
  for (const enrollment of [paired, renewed, recovered]) {
    const askedMs = enrollment.renewAfterMs ?? 0;
    assert.ok(askedMs >= 12 * hour && askedMs <= 20 * hour, `${askedMs}`);
    assert.equal(renewalTime(enrollment, 0.5).getTime(), enrollment.receivedAt + askedMs);
  }
  clock.advance(hour);
  const status = await (await daemon.node(recovered)).status({});
  assert.equal(status.renewAfterMs, recovered.renewAfterMs! - hour);
});

test('a daemon that asks for a renewal too early or too late is not followed', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  const own = renewalTime({ ...paired, renewAfterMs: 0 }, 0.5);
  for (const renewAfterMs of [1, 11 * hour, 20 * hour + minute, day, 2 ** 32 - 1, Number.NaN, -1]) {
    assert.deepEqual(renewalTime({ ...paired, renewAfterMs }, 0.5), own, `${renewAfterMs}`);
  }
  for (const renewAfterMs of [12 * hour + minute, 20 * hour - minute]) {
    const followed = renewalTime({ ...paired, renewAfterMs }, 0.5);
    assert.equal(followed.getTime(), paired.receivedAt + renewAfterMs);
  }
});

test('the time to renew is counted from the arrival, and spread', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = { ...(await pair(daemon, device)), renewAfterMs: 0 };
  const after = (random: number) => renewalTime(enrollment, random).getTime() - clock.now().getTime();
  assert.ok(Math.abs(after(1) - 16 * hour) < minute);
  assert.ok(Math.abs(after(0) - 14.4 * hour) < minute);
});

test('"last seen" goes on when the clock was set back', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  const lastSeen = async () => {
    await (await daemon.node(paired)).status({});
    return Number((await daemon.admin.getDevice({ id: device.identity.id })).device!.lastSeenMs);
  };
  const first = await lastSeen();
  clock.advance(minute);
  assert.equal(await lastSeen(), first, 'not written for every connection');
  clock.advance(-30 * second);
  assert.equal(await lastSeen(), first);
  clock.advance(hour);
  assert.ok((await lastSeen()) > first);
  clock.advance(-hour);
  assert.equal(await lastSeen(), clock.now().getTime());
});
