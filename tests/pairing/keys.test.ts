// Keys in use elsewhere are refused before a guess is counted, and never certified twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPeerCertificate, TlsKey } from '@palyra/identity/certificate';
import { DeviceIdentity } from '@palyra/identity/device';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { type DeviceId, makeUlid, nodeCrypto, systemClock } from '@palyra/identity/values';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { PairingState } from '@palyra/rpc/admin';
import { encodeDeviceHello } from '../../packages/identity/src/pairing/hello.ts';
import { recoveryInput, renewalInput } from '../../packages/identity/src/renewal/proof.ts';
import { expectCode } from '../testing/expect-code.ts';
import { RawHandshake } from '../testing/raw-handshake.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request, type SampleDevice } from '../testing/sample-device.ts';

const noCode = parsePairingCode('000-000000');

async function mint(daemon: TestDaemon) {
  const { code, pairingId } = await daemon.admin.mintCode({});
  const guessesLeft = async () => (await daemon.admin.getPairing({ id: pairingId })).guessesLeft;
  return { code: parsePairingCode(code), pairingId, guessesLeft };
}

/** A device's Exchange with these keys. */
async function naming(
  daemon: TestDaemon,
  code: PairingCode,
  keys: { identityKey?: Uint8Array; tlsKey?: Uint8Array; deviceId?: DeviceId },
) {
  const device = await makeDevice();
  const handshake = await RawHandshake.open(device, await daemon.peer(), code);
  handshake.hello = encodeDeviceHello({
    deviceId: keys.deviceId ?? device.identity.id,
    identityKey: keys.identityKey ?? device.identity.publicKey,
    tlsKey: keys.tlsKey ?? handshake.tlsKey.publicKey,
    name: 'laptop',
    platform: 'linux',
  });
  return handshake.exchange();
}

/** A new id with a known key, which an honest device never sends. */
function underNewId({ identity }: SampleDevice): SampleDevice['identity'] {
  const id = makeUlid(new Date(), nodeCrypto.randomBytes(10));
  return {
    id,
    crypto: identity.crypto,
    publicKey: identity.publicKey,
    sign: identity.sign.bind(identity),
  } as DeviceIdentity;
}

test('another device’s identity key is refused before a guess is counted, even if that device waits or is revoked', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, guessesLeft } = await mint(daemon);
  const paired = await makeDevice();
  await pair(daemon, paired);
  const waiting = await makeDevice();
  await request(daemon, waiting);
  const revoked = await makeDevice();
  await pair(daemon, revoked);
  await daemon.admin.revokeDevice({ id: revoked.identity.id });
  for (const { identity } of [paired, waiting, revoked]) {
    for (const each of [code, noCode]) {
      await expectCode(naming(daemon, each, { identityKey: identity.publicKey }), 'KEY_IN_USE');
    }
  }
  assert.equal(await guessesLeft(), 3);
  await naming(daemon, code, { identityKey: paired.identity.publicKey, deviceId: paired.identity.id });
  assert.equal(await guessesLeft(), 2, 'the device itself may pair again');
});

test('a TLS key that was certified or requested before is refused before a guess is counted', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, guessesLeft } = await mint(daemon);
  const device = await makeDevice();
  const { tlsKey } = await pair(daemon, device);
  const other = await makeDevice();
  const pending = await request(daemon, other);
  for (const used of [tlsKey, pending.tlsKey]) {
    const { publicKey } = TlsKey.fromPkcs8(used);
    for (const each of [code, noCode]) {
      await expectCode(naming(daemon, each, { tlsKey: publicKey }), 'KEY_IN_USE');
      const { publicKey: identityKey, id: deviceId } = device.identity;
      const own = naming(daemon, each, { tlsKey: publicKey, identityKey, deviceId });
      await expectCode(own, 'KEY_IN_USE');
    }
  }
  assert.equal(await guessesLeft(), 3);
});

test('of two simultaneous handshakes with one key, the second to confirm is refused, and its code stays usable', async (t) => {
  const daemon = await TestDaemon.start(t);
  const [first, second] = [await mint(daemon), await mint(daemon)];
  const device = await makeDevice();
  const one = await RawHandshake.open(device, await daemon.peer(), first.code);
  const twin = { ...device, identity: underNewId(device) };
  const two = await RawHandshake.open(twin, await daemon.peer(), second.code);
  await one.exchange();
  await two.exchange();
  await one.confirm();
  await expectCode(two.confirm(), 'KEY_IN_USE');
  assert.equal((await daemon.admin.getPairing({ id: second.pairingId })).state, PairingState.WAITING);
});

test('a renewal and a recovery for a TLS key that was certified before are refused', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const other = TlsKey.fromPkcs8((await pair(daemon, await makeDevice())).tlsKey);
  const node = await daemon.node(enrollment);
  const { serial } = readPeerCertificate(enrollment.certificateChain[0]!);
  const { id } = device.identity;
  for (const tlsKey of [TlsKey.fromPkcs8(enrollment.tlsKey), other]) {
    const { publicKey } = tlsKey;
    const proof = async (signed: Uint8Array) => ({
      tlsKey: publicKey,
      tlsKeyProof: tlsKey.sign(signed),
      identitySignature: await device.identity.sign(signed),
    });
    await expectCode(node.renew(await proof(renewalInput(id, serial, publicKey))), 'KEY_IN_USE');
    const connection = await dialPairing(daemon.pairingAddress, enrollment);
    daemon.closeAtEnd(connection);
    const peer = recoveryPeer(connection);
    const challenge = await peer.challenge();
    const signed = recoveryInput(peer.channelBinding, challenge, id, publicKey);
    await expectCode(peer.recover({ ...(await proof(signed)), challenge, deviceId: id }), 'KEY_IN_USE');
  }
});

test('Await hands out no certificate that is no longer valid', async (t) => {
  const daemon = await TestDaemon.start(t);
  const ends = {
    DEVICE_REVOKED: (id: string, _serial: string) => daemon.admin.revokeDevice({ id }),
    CERTIFICATE_REVOKED: (_id: string, serial: string) => daemon.admin.revokeCertificate({ serial }),
  } as const;
  for (const code of ['DEVICE_REVOKED', 'CERTIFICATE_REVOKED'] as const) {
    for (const isUsed of [false, true]) {
      const device = await makeDevice();
      const pending = await request(daemon, device);
      await daemon.admin.approvePairing({ id: pending.requestId });
      const paired = await collect(daemon, device, pending);
      if (isUsed) await (await daemon.node(paired)).status({});
      assert.equal(
        (await collect(daemon, device, pending)).certificateChain.length,
        2,
        'the device may ask again',
      );
      await ends[code](device.identity.id, readPeerCertificate(paired.certificateChain[0]!).serial);
      await expectCode(collect(daemon, device, pending), code);
    }
  }
});

test('after a pairing with another key, Await hands out no certificate of the old key', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const pending = await request(daemon, device);
  await daemon.admin.approvePairing({ id: pending.requestId });
  await collect(daemon, device, pending);
  const other = await DeviceIdentity.create(nodeCrypto, systemClock);
  const identity = {
    id: device.identity.id,
    crypto: nodeCrypto,
    publicKey: other.publicKey,
    sign: other.sign.bind(other),
  };
  const reinstalled = await makeDevice({ identity: identity as unknown as DeviceIdentity });
  await pair(daemon, reinstalled, { replaceIdentityKey: true });
  await expectCode(collect(daemon, device, pending), 'CERTIFICATE_REVOKED');
});
