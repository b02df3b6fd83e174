import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { hasCode, type IdentityManager, type IdentityManagerOptions } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  awaitPairing,
  type PairedEnrollment,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { day, HeldClock, hour } from '../../../../tests/testing/held-clock.ts';
import { openIdentity, peerOf, recoveryPeerOf } from '../../../../tests/testing/in-process.ts';
import { makeDevice, type SampleDevice } from '../../../../tests/testing/sample-device.ts';
import { longestWaitMs } from '../../../../tests/testing/until.ts';
import { explain } from './explain.ts';

async function open(t: TestContext, options: Partial<IdentityManagerOptions> = {}) {
  const clock = new HeldClock();
  return {
    identity: await openIdentity(t, { clock, ...options }),
    clock,
    device: await makeDevice({ clock }),
  };
}

async function request(identity: IdentityManager, device: SampleDevice) {
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
  return requestPairing(device, peerOf(identity), parsePairingCode(code), 'localhost:1');
}

async function pair(identity: IdentityManager, device: SampleDevice): Promise<PairedEnrollment> {
  const pending = await request(identity, device);
  await identity.desk.approve(pending.requestId);
  return awaitPairing(device, peerOf(identity), pending, { signal: AbortSignal.timeout(longestWaitMs) });
}

const certificateOf = (paired: PairedEnrollment) => readPeerCertificate(paired.certificateChain[0]!);

test('a device that may call is explained as allowed, by its id in upper or lower case', async (t) => {
  const { identity, device } = await open(t);
  const paired = await pair(identity, device);
  await identity.admit(certificateOf(paired).fingerprint);
  for (const id of [device.identity.id, device.identity.id.toLowerCase()]) {
    const { kind, decision, code, reasons } = await explain(identity, id);
    assert.deepEqual([kind, decision, code], ['device', 'allowed', 'OK']);
    assert.match(reasons[0]!, /laptop is active/);
  }
});

test('a certificate is found by serial and fingerprint in the forms that other programs print', async (t) => {
  const { identity, device } = await open(t);
  const { serial, fingerprint } = certificateOf(await pair(identity, device));
  const pairs = (hex: string, by: string) => hex.replace(/..(?!$)/g, `$&${by}`);
  for (const id of [
    serial,
    `serial=${serial.toUpperCase()}`,
    pairs(serial, ':'),
    pairs(serial, ' '),
    `0x${serial.replace(/^0/, '')}`,
    BigInt(`0x${serial}`).toString(),
    fingerprint,
    `sha256 Fingerprint=${pairs(fingerprint, ':').toUpperCase()}`,
  ]) {
    assert.equal((await explain(identity, id)).kind, 'certificate', id);
  }
  for (const id of [`${serial}0`, `0x${fingerprint}0`, '', ':', 'serial=', '9'.repeat(5000)])
    await assert.rejects(explain(identity, id), { code: 'NOTHING_FOUND' }, id);
});

test('the reason for a recovery request is shown, whatever happened since', async (t) => {
  const { identity, clock, device } = await open(t);
  const paired = await pair(identity, device);
  await identity.admit(certificateOf(paired).fingerprint);
  clock.advance(40 * day);
  const asked = recoverCertificate(device, paired, recoveryPeerOf(identity));
  await assert.rejects(asked, (error) => hasCode(error, 'RECOVERY_NEEDS_APPROVAL'));
  const { id } = device.identity;
  for (let count = 0; count < 30; count += 1) await identity.renameDevice(id, `laptop ${count}`);
  await identity.setDeviceRole(id, 'operator');
  const { decision, code, reasons } = await explain(identity, id);
  assert.deepEqual([decision, code], ['refused', 'RECOVERY_NEEDS_APPROVAL']);
  assert.match(reasons.join(' '), /laptop 29 asked at .* because it was away since/);
});

test('a device is allowed while any of its certificates is accepted', async (t) => {
  const { identity, clock, device } = await open(t, { limits: { recoveryOfflineMs: 0 } });
  const paired = await pair(identity, device);
  const { deviceId, serial } = await identity.admit(certificateOf(paired).fingerprint);
  clock.advance(20 * hour);
  const renewed = await renewCertificate(device, paired, (proof) =>
    identity.renewals.renew({ deviceId, serial }, proof),
  );
  clock.advance(5 * hour);
  assert.equal((await explain(identity, deviceId)).decision, 'allowed', 'with the one that is unused yet');
  await identity.admit(certificateOf(renewed).fingerprint);
  const asked = recoverCertificate(device, paired, recoveryPeerOf(identity));
  await assert.rejects(asked, (error) => hasCode(error, 'RECOVERY_NEEDS_APPROVAL'));
  const { decision, reasons, advice } = await explain(identity, deviceId);
  assert.equal(decision, 'allowed', 'whoever asks to recover takes nothing from it');
  assert.match(reasons.join(' '), /asked at .* to recover.*MAY HAVE BEEN COPIED/);
  assert.equal(advice, 'release_or_revoke');
  clock.advance(day);
  assert.equal((await explain(identity, deviceId)).code, 'RECOVERY_NEEDS_APPROVAL');
});

test('an approved device that has fetched no certificate is waiting', async (t) => {
  const { identity, device } = await open(t);
  const pending = await request(identity, device);
  await identity.desk.approve(pending.requestId);
  const { decision, advice } = await explain(identity, device.identity.id);
  assert.equal(decision, 'waiting');
  assert.equal(advice, 'pair_again');
});

test("a revoked device is refused with the operator's reason, and so are all its certificates and pairings", async (t) => {
  const { identity, device } = await open(t);
  const paired = await pair(identity, device);
  const pending = await request(identity, device);
  await identity.revokeDevice(device.identity.id, 'left on a train');
  const { fingerprint, serial } = certificateOf(paired);
  for (const id of [device.identity.id, serial, fingerprint, pending.requestId]) {
    const { decision, code, deviceId } = await explain(identity, id);
    assert.deepEqual([decision, code], ['refused', 'DEVICE_REVOKED'], id);
    assert.equal(deviceId, device.identity.id);
  }
  const { reasons } = await explain(identity, device.identity.id);
  assert.match(reasons.join(' '), /left on a train/);
});

test('a certificate is found by serial and by fingerprint, with or without colons, and is described', async (t) => {
  const { identity, device } = await open(t);
  const { fingerprint, serial } = certificateOf(await pair(identity, device));
  const withColons = fingerprint.toUpperCase().match(/../g)!.join(':');
  for (const id of [serial, serial.toUpperCase(), fingerprint, withColons]) {
    const { kind, decision, code, reasons } = await explain(identity, id);
    assert.deepEqual([kind, decision, code], ['certificate', 'allowed', 'OK']);
    assert.match(reasons[0]!, new RegExp(`device ${device.identity.id} and is issued`));
  }
});

test('a refused certificate is explained with the code that its holder gets', async (t) => {
  const { identity, clock, device } = await open(t);
  const explained = async (paired: PairedEnrollment) => {
    const { fingerprint } = certificateOf(paired);
    const said = await explain(identity, fingerprint);
    const refusal = await identity.authenticate(fingerprint).catch((error: unknown) => error);
    assert.ok(hasCode(refusal, said.code as 'CERTIFICATE_REVOKED'));
    assert.equal(said.reasons.at(-1), refusal.message, 'the words that the refused peer gets');
    return said;
  };
  const first = await pair(identity, device);
  await identity.admit(certificateOf(first).fingerprint);
  const second = await pair(identity, device);
  await identity.admit(certificateOf(second).fingerprint);
  assert.equal((await explained(first)).code, 'CERTIFICATE_SUPERSEDED');

  await identity.revokeCertificate(certificateOf(second).serial, 'copied');
  const revoked = await explained(second);
  assert.equal(revoked.code, 'CERTIFICATE_REVOKED');
  assert.match(revoked.reasons.join(' '), /copied/);
  assert.equal((await explain(identity, device.identity.id)).decision, 'refused');

  clock.advance(2 * hour);
  const third = await pair(identity, device);
  clock.advance(-2 * hour);
  assert.equal((await explained(third)).code, 'CERTIFICATE_NOT_YET_VALID');
  clock.advance(2 * hour + day);
  assert.equal((await explained(third)).code, 'CERTIFICATE_EXPIRED');
});

test("the daemon's own certificate is recognised", async (t) => {
  const { identity } = await open(t);
  const { certificateChain } = await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  const said = await explain(identity, readPeerCertificate(certificateChain[0]!).serial);
  assert.equal(said.code, 'OK');
  assert.match(said.reasons.join(' '), /the daemon's own/);
});

test('the state of a pairing is explained, from its code to its end', async (t) => {
  const { identity, clock, device } = await open(t);
  const minted = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
  const stands = async (id: string) => {
    const { kind, decision, code } = await explain(identity, id);
    assert.equal(kind, 'pairing');
    return `${decision} ${code}`;
  };
  const { id } = minted.pairing;
  assert.equal(await stands(id), 'waiting OK');
  const pending = await requestPairing(
    device,
    peerOf(identity),
    parsePairingCode(minted.code),
    'localhost:1',
  );
  assert.equal(await stands(id), 'waiting OK');
  await identity.desk.approve(id);
  assert.equal(await stands(id), 'allowed OK');
  const signal = AbortSignal.timeout(longestWaitMs);
  const paired = await awaitPairing(device, peerOf(identity), pending, { signal });
  assert.equal(await stands(id), 'allowed OK');
  await identity.admit(certificateOf(paired).fingerprint);
  assert.equal(await stands(id), 'allowed OK');

  const rejected = await request(identity, device);
  await identity.desk.reject(rejected.requestId, 'not mine');
  assert.equal(await stands(rejected.requestId), 'refused PAIRING_REJECTED');
  assert.match((await explain(identity, rejected.requestId)).reasons.join(' '), /not mine/);

  const forgotten = await request(identity, device);
  clock.advance(hour);
  await identity.tick();
  assert.equal(await stands(forgotten.requestId), 'refused PAIRING_EXPIRED');
});

test('an unknown id is reported as unknown, and an invalid id gets an error that lists the valid forms', async (t) => {
  const { identity } = await open(t);
  for (const id of [
    '01K8ZQ4YV3M6X9T2B7C5D1E0FG',
    'UUUUUUUUUUUUUUUUUUUUUUUUUU',
    '0'.repeat(32),
    'f'.repeat(64),
    '',
    'laptop',
    'x'.repeat(10_000),
    "' OR 1=1 --",
  ]) {
    await assert.rejects(explain(identity, id), (error) => hasCode(error, 'NOTHING_FOUND'), id);
  }
});
