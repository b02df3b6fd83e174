// An auto-approve code approves one device, once, and never a device that needs the operator's attention.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from '@connectrpc/connect';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  type PairedEnrollment,
  type PendingEnrollment,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, dialNode, dialPairing, recoveryPeer } from '@palyra/rpc';
import { Continuity, DeviceRole, deviceRoles, PairingState, pairingStates } from '@palyra/rpc/admin';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour } from '../testing/held-clock.ts';
import { answer, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';
import { markAsCopied } from '../testing/suspect.ts';

/** Uses an auto-approve code, up to the answer to Confirm. */
async function requestWith(daemon: TestDaemon, device: SampleDevice): Promise<PendingEnrollment> {
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  return requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
}

async function rowsOf(daemon: TestDaemon, subject: string) {
  const { entries } = await daemon.admin.listAudit({ subject });
  return entries.map(({ action, detailJson }) => ({ action, ...JSON.parse(detailJson) })).reverse();
}

test('a new device is let in at once, and the audit names the maker of the code as the decider', async (t) => {
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

test('the audit names the device of the remote operator who made the code as the decider', async (t) => {
  const daemon = await TestDaemon.start(t);
  const laptop = await makeDevice();
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
  daemon.closeAtEnd(connection);
  const admin = createClient(AdminService, connection.transport);
  const { code, pairingId } = await admin.mintCode({ autoApprove: true });
  const device = await makeDevice();
  await requestPairing(device, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress);
  const approved = (await rowsOf(daemon, pairingId)).at(-1);
  assert.deepEqual([approved?.action, approved?.by], ['request.approved', `device:${laptop.identity.id}`]);
  assert.equal((await daemon.admin.getDevice({ id: device.identity.id })).device?.role, DeviceRole.DEVICE);
});

interface Maker {
  readonly daemon: TestDaemon;
  readonly clock: HeldClock;
  readonly device: SampleDevice;
  readonly paired: PairedEnrollment;
}

const setRole = ({ daemon, device }: Maker, role: 'device' | 'operator') =>
  daemon.admin.setDeviceRole({ id: device.identity.id, role: deviceRoles.toWire(role) });

/** The same device id with another key and the operator role. */
async function replaceKey({ daemon, device, clock }: Maker): Promise<void> {
  const successor = await makeDevice({ identity: await sameIdOtherKey(device.identity), clock });
  await pair(daemon, successor, { replaceIdentityKey: true, operator: true });
}

/** Events of the device that made the code, and the resulting state of a device that uses it. */
const fates: Record<string, [(maker: Maker) => Promise<unknown>, 'approved' | 'pending_approval']> = {
  'is revoked': [
    ({ daemon, device }) => daemon.admin.revokeDevice({ id: device.identity.id, reason: 'stolen' }),
    'pending_approval',
  ],
  'lost its role': [(maker) => setRole(maker, 'device'), 'pending_approval'],
  'lost its role and has it again': [
    async (maker) => {
      await setRole(maker, 'device');
      await setRole(maker, 'operator');
    },
    'pending_approval',
  ],
  'may have been copied': [
    async ({ daemon, device }) => {
      const { registry } = daemon.running.identity;
      await markAsCopied(registry, device.identity.id);
    },
    'pending_approval',
  ],
  'has another key, with the role': [replaceKey, 'pending_approval'],
  'has another key, with the role, since its certificate ended': [
    async (maker) => {
      maker.clock.advance(2 * hour);
      await replaceKey(maker);
    },
    'pending_approval',
  ],
  'had its certificate revoked, and recovered': [
    async ({ daemon, device, paired }) => {
      const { id } = device.identity;
      const { serial } = readPeerCertificate(paired.certificateChain[0]!);
      await daemon.admin.revokeCertificate({ serial, reason: 'stolen' });
      const connection = await dialPairing(daemon.pairingAddress);
      daemon.closeAtEnd(connection);
      const peer = recoveryPeer(connection);
      await expectCode(recoverCertificate(device, paired, peer), 'RECOVERY_NEEDS_APPROVAL');
      await daemon.admin.releaseDevice({ id });
      const recovered = await recoverCertificate(device, paired, peer);
      await (await daemon.node(recovered)).status({});
    },
    'pending_approval',
  ],
  'had another certificate revoked': [
    async ({ daemon, device, paired }) => {
      const node = await daemon.node(paired);
      const renewed = await renewCertificate(device, paired, (proof) => node.renew(proof));
      await (await daemon.node(renewed)).status({});
      const { serial } = readPeerCertificate(renewed.certificateChain[0]!);
      await daemon.admin.revokeCertificate({ serial, reason: 'stolen' });
    },
    'pending_approval',
  ],
  'renewed its certificate': [
    async ({ daemon, device, paired }) => {
      const node = await daemon.node(paired);
      const renewed = await renewCertificate(device, paired, (proof) => node.renew(proof));
      await (await daemon.node(renewed)).status({});
    },
    'approved',
  ],
};

test('a code approves automatically only while its maker’s key, certificate and role allow decisions', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, {
    clock,
    limits: { codeLifeMs: day, deviceCertificateLifeMs: hour },
  });
  for (const [fate, [happen, state]] of Object.entries(fates)) {
    const device = await makeDevice({ clock });
    const paired = await pair(daemon, device, { operator: true });
    const connection = await dialNode(daemon.nodeAddress, paired);
    daemon.closeAtEnd(connection);
    const admin = createClient(AdminService, connection.transport);
    const { code } = await admin.mintCode({ autoApprove: true });
    await happen({ daemon, clock, device, paired });
    const asked = await requestPairing(
      await makeDevice({ clock }),
      await daemon.peer(),
      parsePairingCode(code),
      daemon.pairingAddress,
    );
    const shown = await daemon.admin.getPairing({ id: asked.requestId });
    assert.equal(pairingStates.show(shown.state), state, fate);
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
  assert.equal((await daemon.admin.getPairing({ id: asked.requestId })).state, PairingState.PENDING_APPROVAL);
});

test('a device that returns with its key is approved; with another key it waits for the operator', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  const again = await requestWith(daemon, device);
  assert.equal((await daemon.admin.getPairing({ id: again.requestId })).state, PairingState.APPROVED);

  const other = { ...device, identity: await sameIdOtherKey(device.identity) };
  const { requestId } = await requestWith(daemon, other);
  const waiting = await daemon.admin.getPairing({ id: requestId });
  assert.deepEqual(
    [waiting.state, waiting.device?.continuity],
    [PairingState.PENDING_APPROVAL, Continuity.ANOTHER_KEY],
  );
  await expectCode(daemon.admin.approvePairing({ id: requestId }), 'IDENTITY_KEY_CHANGED');
});

test('an operator’s device waits for the operator, whatever its code says', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device, { operator: true });
  const { requestId } = await requestWith(daemon, device);
  assert.equal((await daemon.admin.getPairing({ id: requestId })).state, PairingState.PENDING_APPROVAL);
});

test('palyra pairing code --auto-approve pairs a device in another process, and the option is off by default', async (t) => {
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
