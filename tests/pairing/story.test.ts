// From a code to a call over mutual TLS, on real sockets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { awaitPairing, loadEnrollments, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { CertificateState, Continuity, DeviceKind, DeviceState, PairingState } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

test('a device pairs with a typed code, and both sides show the same three words', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({ name: 'my laptop' });
  const { code, pairingId } = await daemon.admin.mintCode({});
  assert.match(code, /^[0-9]{3}-[0-9]{6}$/);
  const peer = await daemon.peer();

  const pending = await requestPairing(device, peer, parsePairingCode(code), daemon.pairingAddress);
  assert.equal(pending.requestId, pairingId);
  assert.match(pending.words, /^[a-z]+ [a-z]+ [a-z]+$/);
  const shown = await daemon.admin.getPairing({ id: pairingId });
  assert.equal(shown.state, PairingState.PENDING_APPROVAL);
  assert.equal(shown.device?.words, pending.words);
  assert.equal(shown.device.name, 'my laptop');
  assert.equal(shown.device.deviceId, device.identity.id);
  assert.equal(shown.device.kind, DeviceKind.CLI);
  assert.equal(shown.device.platform, 'linux x64');
  assert.equal(shown.device.continuity, Continuity.NEW);
  assert.equal(shown.device.source, '127.0.0.1');
  assert.equal(shown.failedGuesses, 0);

  const seen: string[] = [];
  const paired = await awaitPairing(device, peer, pending, {
    signal: AbortSignal.timeout(longestWaitMs),
    onState: ({ state }) => {
      seen.push(state);
      if (state === 'pending_approval') void daemon.admin.approvePairing({ id: pairingId });
    },
  });
  assert.deepEqual(seen, ['pending_approval', 'issued']);
  assert.equal(paired.nodeAddress, daemon.nodeAddress);
  assert.deepEqual(paired.trustBundle, daemon.trustBundle);
  assert.deepEqual(readPeerCertificate(paired.certificateChain[0]!).spiffeId, {
    kind: 'device',
    trustDomain: daemon.running.trustDomain,
    id: device.identity.id,
  });
  assert.deepEqual(await loadEnrollments(device.secrets), [paired], 'the pending record is gone');

  const node = await daemon.node(paired);
  const status = await node.status({});
  assert.equal(status.deviceId, device.identity.id);
  assert.equal(status.daemonId, daemon.running.daemonId);
  assert.deepEqual(daemon.statesOf(pairingId), [
    'waiting',
    'pending_approval',
    'approved',
    'issued',
    'active',
  ]);
});

test('a certificate becomes active with its first connection, and the device with it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const before = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(before.device?.state, DeviceState.APPROVED);
  assert.deepEqual(
    before.certificates.map((each) => each.state),
    [CertificateState.ISSUED],
  );

  await (await daemon.node(paired)).status({});
  const after = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(after.device?.state, DeviceState.ACTIVE);
  assert.ok(after.device.lastSeenMs > 0n);
  assert.deepEqual(
    after.certificates.map((each) => each.state),
    [CertificateState.ACTIVE],
  );
});

test('a device that pairs again keeps its old certificate until the new one is used', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await pair(daemon, device);
  const oldConnection = await daemon.node(first);
  await oldConnection.status({});

  const second = await pair(daemon, device);
  await oldConnection.status({});
  await (await daemon.node(second)).status({});

  await oldConnection.closed;
  await expectCode((await daemon.node(first)).status({}), 'CERTIFICATE_SUPERSEDED');
  await (await daemon.node(second)).status({});
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.deepEqual(certificates.map((each) => each.state).sort(), [
    CertificateState.ACTIVE,
    CertificateState.SUPERSEDED,
  ]);
});

test('a QR code pairs, and its address and root fingerprint are the real ones', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { code } = await daemon.admin.mintCode({ qr: true });
  const parsed = parsePairingCode(code);
  assert.equal(parsed.address, daemon.pairingAddress);
  assert.equal(Buffer.from(parsed.rootFingerprint!).toString('hex'), daemon.running.rootFingerprint);
  const pending = await requestPairing(device, await daemon.peer(), parsed, daemon.pairingAddress);
  await daemon.admin.approvePairing({ id: pending.requestId });
  await (await daemon.node(await collect(daemon, device, pending))).status({});
});

test('a device that lost its connection or the answer gets the same certificate again', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const channel = await daemon.peer();
  const pending = await request(daemon, device, channel);
  channel.close();
  await daemon.admin.approvePairing({ id: pending.requestId });
  const first = await collect(daemon, device, pending);
  const again = await collect(daemon, device, pending);
  assert.deepEqual(again.certificateChain, first.certificateChain);
});

test('a request that waits survives a restart of the daemon', async (t) => {
  const before = await TestDaemon.start(t);
  const device = await makeDevice();
  const pending = await request(before, device);
  await before.stop();

  const after = await TestDaemon.start(t, { home: before.home });
  assert.equal(after.running.daemonId, before.running.daemonId);
  assert.equal(after.running.rootFingerprint, before.running.rootFingerprint);
  assert.equal(
    (await after.admin.getPairing({ id: pending.requestId })).device?.words,
    pending.words,
    'the request still has its words',
  );
  await after.admin.approvePairing({ id: pending.requestId });
  await (await after.node(await collect(after, device, pending))).status({});
});

test('a device whose clock is wrong is told so, and stores nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const clock = new HeldClock();
  clock.advance(-11 * 60_000);
  const device = await makeDevice({ clock });
  await expectCode(request(daemon, device), 'CLOCK_SKEW');
  assert.deepEqual(await loadEnrollments(device.secrets), []);
});

test('every step of a pairing is a row of an intact audit chain', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  const { entries } = await daemon.admin.listAudit({});
  assert.deepEqual(
    entries.map((each) => each.action),
    [
      'certificate.activated',
      'certificate.issued',
      'request.approved',
      'request.received',
      'code.guessed',
      'code.minted',
      'daemon.certificate_issued',
      'authority.created',
      'authority.created',
      'daemon.created',
    ],
  );
  const verdict = await daemon.admin.verifyAudit({});
  assert.ok(verdict.ok, verdict.problem);
});
