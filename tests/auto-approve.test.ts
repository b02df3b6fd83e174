// A code that was made to let its device in without a question: that one, once, and nobody who deserves a look.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from '@connectrpc/connect';
import { type PendingEnrollment, parsePairingCode, requestPairing } from '@palyra/identity';
import { AdminService, dialNode } from '@palyra/rpc';
import { DaemonProcess } from './testing/daemon-process.ts';
import { expectCode } from './testing/expect-code.ts';
import { answer, makeHome, PalyraProcess } from './testing/palyra-process.ts';
import { TestDaemon } from './testing/running-daemon.ts';
import { collect, makeDevice, pair, type SampleDevice, sameIdOtherKey } from './testing/sample-device.ts';

/** With a code that approves by itself, up to the answer to Confirm. */
async function requestWith(daemon: TestDaemon, device: SampleDevice): Promise<PendingEnrollment> {
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  return requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
}

async function rowsOf(daemon: TestDaemon, subject: string) {
  const { entries } = await daemon.admin.listAudit({ subject });
  return entries.map(({ action, detailJson }) => ({ action, ...JSON.parse(detailJson) })).reverse();
}

test('a new device is let in at once, and the audit names the one who made the code as who decided', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({ name: 'sensor' });
  const pending = await requestWith(daemon, device);
  const paired = await collect(daemon, device, pending);
  assert.equal((await (await daemon.node(paired)).status({})).deviceId, device.identity.id);
  const [minted, , received, approved] = await rowsOf(daemon, pending.requestId);
  assert.partialDeepStrictEqual(minted, {
    action: 'code.minted',
    kind: 'typed',
    autoApprove: true,
    by: 'admin socket',
  });
  assert.equal(received?.action, 'request.received');
  assert.partialDeepStrictEqual(approved, {
    action: 'request.approved',
    device: device.identity.id,
    name: 'sensor',
    automatic: true,
    by: 'admin socket',
  });
  assert.deepEqual(daemon.statesOf(pending.requestId), ['waiting', 'approved', 'issued', 'active']);
  assert.equal((await daemon.admin.getPairing({ id: pending.requestId })).autoApprove, true);
});

test('a remote operator’s code names its device as who decided', async (t) => {
  const daemon = await TestDaemon.start(t);
  const laptop = await makeDevice();
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
  daemon.closeAtEnd(connection);
  const admin = createClient(AdminService, connection.transport);
  const { code, pairingId } = await admin.mintCode({ autoApprove: true });
  const device = await makeDevice();
  await requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
  const approved = (await rowsOf(daemon, pairingId)).at(-1);
  assert.deepEqual([approved?.action, approved?.by], ['request.approved', laptop.identity.id]);
  assert.equal((await daemon.admin.getDevice({ id: device.identity.id })).device?.role, 'device');
});

test('a code approves by itself no longer than its maker may decide', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const end of ['revoked', 'role taken', 'possibly copied'] as const) {
    const laptop = await makeDevice();
    const { id } = laptop.identity;
    const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
    daemon.closeAtEnd(connection);
    const { code } = await createClient(AdminService, connection.transport).mintCode({ autoApprove: true });
    if (end === 'revoked') await daemon.admin.revokeDevice({ id, reason: 'stolen' });
    if (end === 'role taken') await daemon.admin.setDeviceRole({ id, role: 'device' });
    if (end === 'possibly copied') {
      const { registry } = daemon.running.identity;
      await registry.transact(async (tx) => {
        const device = await tx.device(laptop.identity.id);
        await tx.updateDevice({ ...device!, cloneSeenAt: new Date() });
      });
    }
    const device = await makeDevice();
    const asked = await requestPairing(
      device,
      await daemon.peer(),
      parsePairingCode(code),
      daemon.pairingAddress,
    );
    assert.equal((await daemon.admin.getPairing({ id: asked.requestId })).state, 'pending_approval', end);
  }
});

test('the code lets one device in, once', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const parsed = parsePairingCode(code);
  await requestPairing(await makeDevice(), await daemon.peer(), parsed, daemon.pairingAddress);
  await expectCode(
    requestPairing(await makeDevice(), await daemon.peer(), parsed, daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  const next = await daemon.admin.mintCode({});
  const asked = await requestPairing(
    await makeDevice(),
    await daemon.peer(),
    parsePairingCode(next.code),
    daemon.pairingAddress,
  );
  assert.equal((await daemon.admin.getPairing({ id: asked.requestId })).state, 'pending_approval');
});

test('a device that comes back with its key is let in; with another key it waits for the operator', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  const again = await requestWith(daemon, device);
  assert.equal((await daemon.admin.getPairing({ id: again.requestId })).state, 'approved');

  const other = { ...device, identity: await sameIdOtherKey(device.identity) };
  const { requestId } = await requestWith(daemon, other);
  const waiting = await daemon.admin.getPairing({ id: requestId });
  assert.deepEqual([waiting.state, waiting.device?.continuity], ['pending_approval', 'another_key']);
  await expectCode(daemon.admin.approvePairing({ id: requestId }), 'IDENTITY_KEY_CHANGED');
});

test('an operator’s device waits for the operator, whatever its code says', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device, { operator: true });
  const { requestId } = await requestWith(daemon, device);
  assert.equal((await daemon.admin.getPairing({ id: requestId })).state, 'pending_approval');
});

test('palyra pairing code --auto-approve pairs a device that is a process of its own, and nothing is by default', async (t) => {
  const home = await makeHome(t);
  const daemon = await DaemonProcess.start(t, { home });
  const usual = await answer(['pairing', 'code'], { home });
  assert.equal(usual.auto_approve, false);
  const { code, auto_approve, pairing_id } = await answer(['pairing', 'code', '--auto-approve'], { home });
  assert.equal(auto_approve, true);
  const deviceHome = await makeHome(t);
  const pairing = PalyraProcess.start(['pair', daemon.pairingAddress, '--code-stdin'], {
    home: deviceHome,
    stdin: `${code}\n`,
  });
  assert.equal((await pairing.ended).exitCode, 0);
  const shown = await answer(['pairing', 'show', pairing_id], { home });
  assert.deepEqual([shown.state, shown.auto_approve], ['issued', true]);
});
