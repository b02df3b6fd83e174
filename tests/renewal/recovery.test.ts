// A device whose certificate has expired or was revoked recovers by its identity key.

import assert from 'node:assert/strict';
import test from 'node:test';
import { type PairedEnrollment, recoverCertificate } from '@palyra/identity/device';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { ExplainResponse_Decision } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, minute, second } from '../testing/held-clock.ts';
import { recover, renew, serialOf, statesOf } from '../testing/renewals.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';

test('a recovery in progress when another identity key takes over the id gets nothing', async (t) => {
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

test('a device that was away for longer than the policy allows recovers after the operator’s release', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  clock.advance(32 * day);
  const { retryAfterMs } = await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  assert.equal(retryAfterMs, minute);
  await letIn(daemon, device, old, /away since/);
});

test('a device whose certificate was revoked recovers after the operator’s release', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const old = await pair(daemon, device);
  const { serial } = await (await daemon.node(old)).status({});
  await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
  await expectCode(recover(daemon, device, old), 'RECOVERY_NEEDS_APPROVAL');
  await letIn(daemon, device, old, /was revoked/);
});

test('after a revocation every recovery asks the operator, whichever certificate was used last', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const older = await pair(daemon, device);
  await (await daemon.node(older)).status({});
  // The answer was lost and the older certificate stays in use, so the revoked certificate is not the newest.
  const newer = await renew(daemon, device, older);
  const revoke = (enrollment: PairedEnrollment) =>
    daemon.admin.revokeCertificate({ serial: serialOf(enrollment), reason: 'copied' });
  await revoke(older);
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['revoked', 'revoked']);
  await expectCode((await daemon.node(newer)).status({}), 'CERTIFICATE_REVOKED');
  const again = await letIn(daemon, device, older, /was revoked/);
  // A revoked certificate counts even if it was replaced long ago.
  const newest = await renew(daemon, device, again);
  await (await daemon.node(newest)).status({});
  await revoke(again);
  await (await daemon.node(newest)).status({});
  await expectCode(recover(daemon, device, newest), 'RECOVERY_NEEDS_APPROVAL');
  assert.equal(
    (await daemon.admin.explain({ id: device.identity.id })).decision,
    ExplainResponse_Decision.ALLOWED,
  );
  // A permission from before a revocation does not apply after it.
  await daemon.admin.releaseDevice({ id: device.identity.id });
  await revoke(newest);
  await expectCode(recover(daemon, device, newest), 'RECOVERY_NEEDS_APPROVAL');
  // After pairing again, earlier revocations no longer count.
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  await recover(daemon, device, paired);
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a device that recovers too often needs the operator', async (t) => {
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

test('with an offline time of 0, every recovery asks the operator', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { recoveryOfflineMs: 0 } });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  clock.advance(day + second);
  await expectCode(recover(daemon, device, paired), 'RECOVERY_NEEDS_APPROVAL');
  const again = await letIn(daemon, device, paired, /asks about every recovery/);
  // The permission was for one recovery and is used up, even though the certificate is valid.
  await expectCode(recover(daemon, device, again), 'RECOVERY_NEEDS_APPROVAL');
});

test("the operator's permission for a recovery expires, and a revocation ends it", async (t) => {
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

/** The operator sees the request and its reason once, and releases the device. Only then does the recovery succeed. */
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

test('neither renewal nor recovery brings a revoked device back', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const node = await daemon.node(enrollment);
  await node.status({});
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await expectCode(recover(daemon, device, enrollment), 'DEVICE_REVOKED');
  await expectCode((await daemon.node(enrollment)).renew({}), 'DEVICE_REVOKED');
});

test('a recovery works on one channel, once, and reveals nothing to a stranger', async (t) => {
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
