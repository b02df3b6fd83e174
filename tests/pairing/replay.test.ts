// Messages that are repeated, too early, on the wrong channel, or changed on the way.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TlsKey } from '@palyra/identity/certificate';
import { DeviceIdentity, type PairingPeer, requestPairing } from '@palyra/identity/device';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { PairingState } from '@palyra/rpc/admin';
import {
  awaitProofInput,
  identitySignatureInput,
  tlsKeyProofInput,
} from '../../packages/identity/src/pairing/transcript.ts';
import { expectCode } from '../testing/expect-code.ts';
import { RawHandshake, tampered } from '../testing/raw-handshake.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, request, type SampleDevice } from '../testing/sample-device.ts';

/** A new code, a handshake opened with it, and the operator's view of it. */
async function opened(daemon: TestDaemon, peer?: PairingPeer) {
  const { code, pairingId } = await daemon.admin.mintCode({});
  const handshake = await RawHandshake.open(
    await makeDevice(),
    peer ?? (await daemon.peer()),
    parsePairingCode(code),
  );
  const shown = () => daemon.admin.getPairing({ id: pairingId });
  return { handshake, pairingId, shown, code: parsePairingCode(code) };
}

test('a second Exchange on a session finds nothing, and counts no guess', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { handshake, shown } = await opened(daemon);
  await handshake.exchange();
  await expectCode(
    handshake.peer.exchange({
      sessionId: handshake.opened.sessionId,
      ya: handshake.ya,
      deviceHello: handshake.hello,
    }),
    'SESSION_NOT_FOUND',
  );
  assert.equal((await shown()).guessesLeft, 2);
  await handshake.confirm();
});

test('of two Exchanges sent at once, one is answered', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { handshake, shown } = await opened(daemon);
  const message = {
    sessionId: handshake.opened.sessionId,
    ya: handshake.ya,
    deviceHello: handshake.hello,
  };
  const { exchange } = handshake.peer;
  const outcomes = await Promise.allSettled([exchange(message), exchange(message), exchange(message)]);
  const refused = outcomes.filter((each) => each.status === 'rejected');
  assert.deepEqual(
    refused.map((each) => each.reason.code),
    ['SESSION_NOT_FOUND', 'SESSION_NOT_FOUND'],
  );
  assert.equal((await shown()).guessesLeft, 2);
});

test('a Confirm before its Exchange finds nothing, and does not end the session', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { handshake, pairingId } = await opened(daemon);
  await expectCode(
    handshake.peer.confirm({
      sessionId: handshake.opened.sessionId,
      deviceConfirmation: new Uint8Array(32),
      identitySignature: new Uint8Array(64),
      tlsKeyProof: new Uint8Array(64),
    }),
    'SESSION_NOT_FOUND',
  );
  await handshake.exchange();
  assert.equal((await handshake.confirm()).requestId, pairingId);
});

test('a Confirm works once, however often and however quickly it is sent', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { handshake, shown } = await opened(daemon);
  await handshake.exchange();
  const outcomes = await Promise.allSettled([handshake.confirm(), handshake.confirm()]);
  assert.equal(outcomes.filter((each) => each.status === 'fulfilled').length, 1);
  await expectCode(handshake.confirm(), 'SESSION_NOT_FOUND');
  assert.equal((await shown()).state, PairingState.PENDING_APPROVAL);
  assert.equal(
    (await daemon.admin.listAudit({})).entries.filter((each) => each.action === 'request.received').length,
    1,
  );
});

test('a session belongs to its TLS channel: on another channel it is unknown, and it stays valid on its own', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { handshake, shown, pairingId } = await opened(daemon);
  const thief = await daemon.peer();
  const sessionId = handshake.opened.sessionId;
  await expectCode(
    thief.exchange({ sessionId, ya: handshake.ya, deviceHello: handshake.hello }),
    'SESSION_NOT_FOUND',
  );
  assert.equal((await shown()).guessesLeft, 3);
  await handshake.exchange();
  const { deviceConfirmation, transcript } = handshake.keys;
  await expectCode(
    thief.confirm({
      sessionId,
      deviceConfirmation,
      identitySignature: await handshake.device.identity.sign(identitySignatureInput(transcript)),
      tlsKeyProof: handshake.tlsKey.sign(tlsKeyProofInput(transcript)),
    }),
    'SESSION_NOT_FOUND',
  );
  assert.equal((await handshake.confirm()).requestId, pairingId);
});

test('a made-up session id of any length is unknown', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { handshake } = await opened(daemon);
  for (const length of [0, 15, 16, 17, 4096]) {
    await expectCode(
      handshake.peer.exchange({
        sessionId: new Uint8Array(length),
        ya: handshake.ya,
        deviceHello: handshake.hello,
      }),
      'SESSION_NOT_FOUND',
    );
  }
});

test('messages of an earlier handshake do not work in a later one', async (t) => {
  const daemon = await TestDaemon.start(t);
  const peer = await daemon.peer();
  const { handshake: first, shown, code } = await opened(daemon, peer);
  await first.exchange();
  const second = await RawHandshake.open(first.device, peer, code);
  await second.exchange({ ya: first.ya, deviceHello: first.hello });
  assert.equal(second.daemonProven, false);
  const { deviceConfirmation, transcript } = first.keys;
  await expectCode(
    second.confirm({
      deviceConfirmation,
      identitySignature: await first.device.identity.sign(identitySignatureInput(transcript)),
    }),
    'PAIRING_CODE_WRONG',
  );
  assert.equal((await shown()).state, PairingState.WAITING);
});

test('the proof of Await is for one request on one channel', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const here = await daemon.peer();
  const elsewhere = await daemon.peer();
  const pending = await request(daemon, device, here);
  const other = await request(daemon, await makeDevice());
  const proofFor = (requestId: string, binding: Uint8Array) =>
    nodeCrypto.hmacSha256(pending.awaitKey, awaitProofInput(requestId, binding));
  const first = async (peer: PairingPeer, requestId: string, proof: Uint8Array) => {
    const enough = new AbortController();
    try {
      for await (const update of peer.await({ requestId, proof }, enough.signal)) return update;
    } finally {
      enough.abort();
    }
    return undefined;
  };
  const good = await proofFor(pending.requestId, here.channelBinding);
  assert.equal((await first(here, pending.requestId, good))?.state, 'pending_approval');

  const refusals = [
    first(elsewhere, pending.requestId, good),
    first(here, other.requestId, good),
    first(here, other.requestId, await proofFor(other.requestId, here.channelBinding)),
    first(here, pending.requestId, tampered(good)),
    first(here, pending.requestId, new Uint8Array()),
    first(here, pending.requestId, new Uint8Array(4096)),
    first(here, '01K8ZQ4YV3M6X9T2B7C5D1E0FG', good),
    first(here, 'no id at all', good),
  ];
  const messages = await Promise.all(
    refusals.map(async (each) => (await expectCode(each, 'PAIRING_NOT_FOUND')).message),
  );
  assert.equal(new Set(messages).size, 1, 'an unknown request and a wrong proof look the same');
});

// Changes to everything that a device sends or receives before the confirmation.
const changes: Readonly<
  Record<string, (peer: PairingPeer, device: SampleDevice, code: PairingCode) => Partial<PairingPeer>>
> = {
  'the kind of client': (peer) => ({ open: (call) => peer.open({ ...call, kind: 'node' }) }),
  Ya: (peer) => ({ exchange: (call) => peer.exchange({ ...call, ya: tampered(call.ya, 31) }) }),
  "the device's hello": (peer) => ({
    // The last byte is the last letter of the platform, so the message can still be parsed.
    exchange: (call) =>
      peer.exchange({ ...call, deviceHello: tampered(call.deviceHello, call.deviceHello.length - 1) }),
  }),
  Yb: (peer) => ({
    exchange: async (call) => {
      const reply = await peer.exchange(call);
      return { ...reply, yb: tampered(reply.yb, 31) };
    },
  }),
  "the daemon's hello": (peer) => ({
    exchange: async (call) => {
      const reply = await peer.exchange(call);
      return { ...reply, daemonHello: tampered(reply.daemonHello, reply.daemonHello.length - 1) };
    },
  }),
  "the daemon's confirmation": (peer) => ({
    exchange: async (call) => {
      const reply = await peer.exchange(call);
      return { ...reply, daemonConfirmation: tampered(reply.daemonConfirmation) };
    },
  }),
  'the session id': (peer) => ({
    open: async (call) => {
      const real = await peer.open(call);
      return { ...real, sessionId: tampered(real.sessionId) };
    },
    exchange: async (call) => peer.exchange({ ...call, sessionId: tampered(call.sessionId) }),
  }),
};

for (const [what, change] of Object.entries(changes)) {
  test(`a device stores nothing if ${what} was changed on the way`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const minted = await daemon.admin.mintCode({});
    const code = parsePairingCode(minted.code);
    const peer = await daemon.peer();
    let confirmed = false;
    const changed: PairingPeer = {
      ...peer,
      ...change(peer, device, code),
      confirm: (call) => {
        confirmed = true;
        return peer.confirm(call);
      },
    };
    await expectCode(
      requestPairing(device, changed, code, daemon.pairingAddress),
      'DAEMON_NOT_AUTHENTICATED',
    );
    assert.equal(confirmed, false);
    assert.deepEqual(await device.secrets.list('enrollments/'), []);
    assert.equal((await daemon.admin.getPairing({ id: minted.pairingId })).guessesLeft, 2);
  });
}

// An invalid Confirm, from a device that knows the code.
const wrongProofs: Readonly<
  Record<string, (handshake: RawHandshake) => Promise<Parameters<RawHandshake['confirm']>[0]>>
> = {
  'a changed confirmation': async ({ keys }) => ({
    deviceConfirmation: tampered(keys.deviceConfirmation, 31),
  }),
  "the daemon's own confirmation, sent back": async ({ keys }) => ({
    deviceConfirmation: keys.daemonConfirmation,
  }),
  'an empty confirmation': async () => ({ deviceConfirmation: new Uint8Array() }),
  'a confirmation with an extra byte': async ({ keys }) => ({
    deviceConfirmation: new Uint8Array([...keys.deviceConfirmation, 0]),
  }),
  'an identity signature by another key': async ({ keys }) => {
    const other = await DeviceIdentity.create(nodeCrypto, systemClock);
    return { identitySignature: await other.sign(identitySignatureInput(keys.transcript)) };
  },
  'an identity signature over another label': async ({ keys, device }) => ({
    identitySignature: await device.identity.sign(tlsKeyProofInput(keys.transcript)),
  }),
  'no identity signature': async () => ({ identitySignature: new Uint8Array() }),
  'a TLS proof by another key': async ({ keys }) => ({
    tlsKeyProof: TlsKey.generate().sign(tlsKeyProofInput(keys.transcript)),
  }),
  'a TLS proof over another label': async ({ keys, tlsKey }) => ({
    tlsKeyProof: tlsKey.sign(identitySignatureInput(keys.transcript)),
  }),
  'a TLS proof of zeros': async () => ({ tlsKeyProof: new Uint8Array(64) }),
  'a TLS proof of 8 KiB': async () => ({ tlsKeyProof: new Uint8Array(8192) }),
};

for (const [what, make] of Object.entries(wrongProofs)) {
  test(`a Confirm with ${what} is refused, and the code has one guess fewer`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { handshake, shown } = await opened(daemon);
    await handshake.exchange();
    await expectCode(handshake.confirm(await make(handshake)), 'PAIRING_CODE_WRONG');
    const { state, guessesLeft } = await shown();
    assert.deepEqual({ state, guessesLeft }, { state: PairingState.WAITING, guessesLeft: 2 });
    await expectCode(handshake.confirm(), 'SESSION_NOT_FOUND');
  });
}
