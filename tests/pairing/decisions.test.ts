// The operator's decisions are made once, are final, and are based on all facts about the request.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awaitPairing, loadEnrollments } from '@palyra/identity/device';
import { Continuity, DeviceRole, DeviceState, PairingState } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

async function continuityOf(daemon: TestDaemon, pairingId: string): Promise<Continuity | undefined> {
  return (await daemon.admin.getPairing({ id: pairingId })).device?.continuity;
}

test('a device is shown as new, as known, or as known with another key', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await request(daemon, device);
  assert.equal(await continuityOf(daemon, first.requestId), Continuity.NEW);
  await daemon.admin.approvePairing({ id: first.requestId });

  const again = await request(daemon, device);
  assert.equal(await continuityOf(daemon, again.requestId), Continuity.KNOWN);

  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  const strange = await request(daemon, other);
  assert.equal(await continuityOf(daemon, strange.requestId), Continuity.ANOTHER_KEY);
});

test('a decision with words or a role other than those of the request changes nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  const [{ requestId: id, words }, another] = [
    await request(daemon, device),
    await request(daemon, await makeDevice()),
  ];
  for (const seen of [
    { words: another.words, role: DeviceRole.DEVICE },
    { words: '', role: DeviceRole.DEVICE },
    { words, role: DeviceRole.UNSPECIFIED },
    { words, role: DeviceRole.OPERATOR },
  ])
    await expectCode(daemon.admin.approvePairing({ id, seen }), 'PAIRING_STATE_CONFLICT');
  await expectCode(
    daemon.admin.approvePairing({ id, seen: { words, role: 99 as DeviceRole } }),
    'MESSAGE_INVALID',
  );
  // The device became an operator before the decision, and the approval would keep that role.
  await daemon.admin.setDeviceRole({ id: device.identity.id, role: DeviceRole.OPERATOR });
  await expectCode(
    daemon.admin.approvePairing({ id, seen: { words, role: DeviceRole.DEVICE } }),
    'PAIRING_STATE_CONFLICT',
  );
  assert.equal((await daemon.admin.getPairing({ id })).state, PairingState.PENDING_APPROVAL);
  await daemon.admin.approvePairing({ id, seen: { words, role: DeviceRole.OPERATOR } });
  await daemon.admin.approvePairing({
    id: another.requestId,
    seen: { words: another.words, role: DeviceRole.UNSPECIFIED },
  });
});

test('another identity key is refused until the operator allows it, and then the old key is shut out at once', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const old = await pair(daemon, device);
  const oldConnection = await daemon.node(old);
  await oldConnection.status({});

  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  const pending = await request(daemon, other);
  await expectCode(daemon.admin.approvePairing({ id: pending.requestId }), 'IDENTITY_KEY_CHANGED');
  assert.equal(
    (await daemon.admin.getPairing({ id: pending.requestId })).state,
    PairingState.PENDING_APPROVAL,
  );
  await oldConnection.status({});

  await daemon.admin.approvePairing({ id: pending.requestId, replaceIdentityKey: true });
  await oldConnection.closed;
  await expectCode((await daemon.node(old)).status({}), 'CERTIFICATE_REVOKED');
  await (await daemon.node(await collect(daemon, other, pending))).status({});
  const { device: shown } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(shown?.state, DeviceState.ACTIVE);
});

test('an issued but unused certificate ends with the old identity key too', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const unused = await pair(daemon, device);
  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  await pair(daemon, other, { replaceIdentityKey: true });
  await expectCode((await daemon.node(unused)).status({}), 'CERTIFICATE_REVOKED');
});

test('an approval for the old identity key issues nothing after another key replaced it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  const approved = await request(daemon, device);
  await daemon.admin.approvePairing({ id: approved.requestId });

  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  await pair(daemon, other, { replaceIdentityKey: true });
  await expectCode(collect(daemon, device, approved), 'IDENTITY_KEY_CHANGED');
});

test('a revoked device cannot come back with its id, with its old key or another', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await expectCode(request(daemon, device), 'DEVICE_REVOKED');
  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  await expectCode(request(daemon, other), 'DEVICE_REVOKED');
  assert.deepEqual(await loadEnrollments(other.secrets), []);
});

test('a device that is revoked while it waits is not approved, and a device revoked after the approval gets nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await request(daemon, device);
  await daemon.admin.approvePairing({ id: first.requestId });
  const second = await request(daemon, device);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await expectCode(daemon.admin.approvePairing({ id: second.requestId }), 'PAIRING_STATE_CONFLICT');
  const told = await expectCode(collect(daemon, device, first), 'DEVICE_REVOKED');
  assert.match(told.message, /Reason: lost/);
});

test('the requests of a revoked device are no longer open, whatever state they were in', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const fetched = await request(daemon, device);
  await daemon.admin.approvePairing({ id: fetched.requestId });
  await collect(daemon, device, fetched);
  const approved = await request(daemon, device);
  await daemon.admin.approvePairing({ id: approved.requestId });
  const waiting = await request(daemon, device);
  const stranger = await request(daemon, await makeDevice());
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  for (const { requestId: id } of [fetched, approved, waiting]) {
    const { state, reason } = await daemon.admin.getPairing({ id });
    assert.deepEqual([state, reason], [PairingState.REJECTED, 'lost']);
  }
  const { pairings } = await daemon.admin.listPairings({ openOnly: true, limit: 100 });
  assert.deepEqual(
    pairings.map(({ id }) => id),
    [stranger.requestId],
  );
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a revoked device learns the reason, on a live connection and when it connects again', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const node = await daemon.node(enrollment);
  await node.status({});
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost on the train' });
  const again = daemon.node(enrollment).then((connected) => connected.status({}));
  assert.match((await expectCode(again, 'DEVICE_REVOKED')).message, /Reason: lost on the train/);
});

test('a rejection is final', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { requestId: id, ...pending } = await request(daemon, device);
  await daemon.admin.rejectPairing({ id, reason: 'not mine' });
  await expectCode(daemon.admin.approvePairing({ id }), 'PAIRING_STATE_CONFLICT');
  await expectCode(daemon.admin.rejectPairing({ id }), 'PAIRING_STATE_CONFLICT');
  const { state, reason } = await daemon.admin.getPairing({ id });
  assert.deepEqual({ state, reason }, { state: PairingState.REJECTED, reason: 'not mine' });
  const error = await expectCode(collect(daemon, device, { ...pending, requestId: id }), 'PAIRING_REJECTED');
  assert.match(error.message, /not mine/);
  assert.deepEqual(await loadEnrollments(device.secrets), [], 'the request is forgotten');
});

test('an approval is final', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const pending = await request(daemon, device);
  const id = pending.requestId;
  await daemon.admin.approvePairing({ id });
  const decideAgain = async () => {
    await expectCode(daemon.admin.approvePairing({ id }), 'PAIRING_STATE_CONFLICT');
    await expectCode(daemon.admin.rejectPairing({ id }), 'PAIRING_STATE_CONFLICT');
  };
  await decideAgain();
  const paired = await collect(daemon, device, pending);
  await decideAgain();
  await (await daemon.node(paired)).status({});
  await decideAgain();
  assert.equal((await daemon.admin.getPairing({ id })).state, PairingState.ACTIVE);
});

test('of simultaneous decisions exactly one wins, and all callers get the same result', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  for (let round = 0; round < 5; round += 1) {
    const { requestId: id } = await request(daemon, device);
    const approve = () => daemon.admin.approvePairing({ id });
    const reject = () => daemon.admin.rejectPairing({ id });
    const order = round % 2 === 0 ? [approve, reject, approve] : [reject, approve, reject];
    const outcomes = await Promise.allSettled(order.map((decide) => decide()));
    const won = outcomes.filter((each) => each.status === 'fulfilled').map((each) => each.value.state);
    assert.equal(won.length, 1);
    assert.equal((await daemon.admin.getPairing({ id })).state, won[0]);
  }
});

test('a waiting device gets the decision at once, on every channel', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const pending = await request(daemon, device);
  const waiting = Array.from({ length: 2 }, async () => {
    const waits = Promise.withResolvers<void>();
    const paired = awaitPairing(device, await daemon.peer(pending), pending, {
      signal: AbortSignal.timeout(longestWaitMs),
      onState: () => waits.resolve(),
    });
    await waits.promise;
    return { paired };
  });
  const channels = await Promise.all(waiting);
  await daemon.admin.approvePairing({ id: pending.requestId });
  const [one, two] = await Promise.all(channels.map((each) => each.paired));
  assert.deepEqual(
    one?.certificateChain,
    two?.certificateChain,
    'one certificate, however often it is fetched',
  );
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(certificates.length, 1);
});

test('a code can be withdrawn before it is used, once', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { pairingId: id } = await daemon.admin.mintCode({});
  await expectCode(daemon.admin.approvePairing({ id }), 'PAIRING_STATE_CONFLICT');
  await daemon.admin.rejectPairing({ id, reason: 'typed in the wrong room' });
  await expectCode(daemon.admin.rejectPairing({ id }), 'PAIRING_STATE_CONFLICT');
  assert.equal((await daemon.admin.getPairing({ id })).state, PairingState.REJECTED);
});

test('an unknown pairing and a malformed id are not found', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const id of ['01K8ZQ4YV3M6X9T2B7C5D1E0FG', '', 'x'.repeat(10_000), "' OR 1=1 --"]) {
    await expectCode(daemon.admin.approvePairing({ id }), 'PAIRING_NOT_FOUND');
    await expectCode(daemon.admin.getPairing({ id }), 'PAIRING_NOT_FOUND');
  }
});

test('a name from the operator replaces the name from the device', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({ name: 'localhost' });
  const { requestId: id } = await request(daemon, device);
  await expectCode(daemon.admin.approvePairing({ id, name: 'a\u202eb' }), 'MESSAGE_INVALID');
  await daemon.admin.approvePairing({ id, name: 'kitchen display' });
  const shown = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(shown.device?.name, 'kitchen display');
});
