// Unreadable or forbidden input is refused with its code, without effect on others.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { type PairingPeer, requestPairing } from '@palyra/identity/device';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, type Ulid } from '@palyra/identity/values';
import { dialPairing, PairingService } from '@palyra/rpc';
import { DeviceKind } from '@palyra/rpc/admin';
import { lvCat } from '../../packages/identity/src/lv.ts';
import { encodeDaemonHello } from '../../packages/identity/src/pairing/hello.ts';
import { scalarMultVfyVectors } from '../../packages/identity/src/pairing/testing/cpace-vectors.ts';
import { commitmentTo } from '../../packages/identity/src/pairing/transcript.ts';
import { expectCode } from '../testing/expect-code.ts';
import { RawHandshake } from '../testing/raw-handshake.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice } from '../testing/sample-device.ts';

const abortingPoints = scalarMultVfyVectors.points.filter((each) => each.result === null);

async function start(t: TestContext) {
  const daemon = await TestDaemon.start(t);
  const { code, pairingId } = await daemon.admin.mintCode({});
  return {
    daemon,
    pairingId,
    code: parsePairingCode(code),
    peer: await daemon.peer(),
    device: await makeDevice(),
    guessesLeft: async () => (await daemon.admin.getPairing({ id: pairingId })).guessesLeft,
  };
}

/** Pairs on the same connection with the same code, as if nothing had happened. */
async function stillPairs(
  { daemon, peer }: { daemon: TestDaemon; peer: PairingPeer },
  code: PairingCode,
): Promise<void> {
  await requestPairing(await makeDevice(), peer, code, daemon.pairingAddress);
}

test('there are seven points that must abort', () => assert.equal(abortingPoints.length, 7));

for (const { u } of abortingPoints) {
  test(`the daemon aborts on the point ${u.slice(0, 8)}…${u.slice(-2)} as Ya, and counts no guess`, async (t) => {
    const { peer, device, code, guessesLeft, daemon } = await start(t);
    const handshake = await RawHandshake.open(device, peer, code);
    await expectCode(handshake.exchange({ ya: Buffer.from(u, 'hex') }), 'MESSAGE_INVALID');
    assert.equal(await guessesLeft(), 3);
    await expectCode(
      peer.exchange({
        sessionId: handshake.opened.sessionId,
        ya: handshake.ya,
        deviceHello: handshake.hello,
      }),
      'SESSION_NOT_FOUND',
    );
    await stillPairs({ daemon, peer }, code);
  });

  test(`the device aborts on the point ${u.slice(0, 8)}…${u.slice(-2)} as Yb, and stores nothing`, async (t) => {
    const { peer, device, code, daemon } = await start(t);
    const yb = Buffer.from(u, 'hex');
    const adB = encodeDaemonHello({
      daemonId: goodId as Ulid,
      trustDomain: 'palyra-aaaaaaaaaa.internal',
      time: new Date(),
    });
    const nonce = nodeCrypto.randomBytes(32);
    const lying: PairingPeer = {
      ...peer,
      open: async (call) => ({
        ...(await peer.open(call)),
        commitment: await commitmentTo(nodeCrypto, { yb, adB, nonce }),
      }),
      exchange: async (call) => ({ ...(await peer.exchange(call)), yb, daemonHello: adB, nonce }),
    };
    await expectCode(requestPairing(device, lying, code, daemon.pairingAddress), 'MESSAGE_INVALID');
    assert.deepEqual(await device.secrets.list('enrollments/'), []);
  });
}

test('a Ya that is not 32 bytes is refused', async (t) => {
  const { peer, device, code } = await start(t);
  for (const length of [0, 31, 33]) {
    const handshake = await RawHandshake.open(device, peer, { ...code, slot: Buffer.from('000') });
    await expectCode(handshake.exchange({ ya: new Uint8Array(length).fill(9) }), 'MESSAGE_INVALID');
  }
});

test("a client with another protocol version is told the daemon's version", async (t) => {
  const { peer, code, daemon } = await start(t);
  for (const version of [0, 1, 3, 4_294_967_295]) {
    const error = await expectCode(
      peer.open({ version, slot: code.slot, kind: 'cli' }),
      'VERSION_UNSUPPORTED',
    );
    assert.match(error.message, /version 2\b/);
  }
  await stillPairs({ daemon, peer }, code);
});

test('a kind of client that does not exist is refused', async (t) => {
  const { peer, code, daemon } = await start(t);
  const connection = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(connection);
  const client = createClient(PairingService, connection.transport);
  for (const clientKind of [DeviceKind.UNSPECIFIED, 99 as DeviceKind]) {
    await expectCode(client.open({ version: 2, slot: code.slot, clientKind }), 'MESSAGE_INVALID');
  }
  await stillPairs({ daemon, peer }, code);
});

test('a slot is three digits or 16 bytes', async (t) => {
  const { peer, code, daemon } = await start(t);
  const slots = [
    '',
    '1',
    '12',
    '1234',
    'abc',
    '1 2',
    '-12',
    '१२३',
    'x'.repeat(15),
    'x'.repeat(17),
    'x'.repeat(8000),
  ];
  for (const slot of slots) {
    await expectCode(peer.open({ version: 2, slot: Buffer.from(slot), kind: 'cli' }), 'MESSAGE_INVALID');
  }
  await stillPairs({ daemon, peer }, code);
});

const goodId = '01K8ZQ4YV3M6X9T2B7C5D1E0FG';
const p256 = spki('P-256');
const ed25519 = (await nodeCrypto.generateIdentityKey()).publicKey;

function spki(namedCurve: string): Buffer {
  return generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'der', type: 'spki' });
}

/** A valid hello with the given changes. */
function helloWith(changed: {
  label?: string;
  id?: string | Uint8Array;
  identityKey?: Uint8Array;
  tlsKey?: Uint8Array;
  name?: string | Uint8Array;
  platform?: string;
}): Uint8Array {
  return lvCat(
    changed.label ?? 'palyra-device-hello-v2',
    changed.id ?? goodId,
    changed.identityKey ?? ed25519,
    changed.tlsKey ?? p256,
    changed.name ?? 'laptop',
    changed.platform ?? 'linux',
  );
}

const badIds = [
  goodId.toLowerCase(),
  `${goodId.slice(0, 25)}I`,
  `${goodId.slice(0, 25)}L`,
  `${goodId.slice(0, 25)}O`,
  `${goodId.slice(0, 25)}U`,
  `8${goodId.slice(1)}`,
  `Z${goodId.slice(1)}`,
  goodId.slice(1),
  `${goodId}0`,
  `${goodId}\n`,
  ` ${goodId}`,
  '',
  'device',
  `${goodId.slice(0, 25)}\0`,
  `${goodId.slice(0, 25)}Å`,
];

const badNames = {
  'no letters': '',
  'a line feed': 'lap\ntop',
  'an escape sequence': '\u001b[2Jlaptop',
  'a delete': 'laptop\u007f',
  'a C1 control': 'lap\u009btop',
  'a bidi override': 'lap\u202etop',
  'a bidi isolate': 'lap\u2066top',
  'a zero-width space': 'lap\u200btop',
  'a byte order mark': '\ufefflaptop',
  'a line separator': 'lap\u2028top',
  'a space in front': ' laptop',
  'a space behind': 'laptop ',
  'only spaces': '   ',
  'an unassigned code point': 'laptop\u{e0fff}',
  '65 letters': 'x'.repeat(65),
};

const badTlsKeys = {
  nothing: new Uint8Array(),
  'a P-384 key': spki('P-384'),
  'a P-521 key': spki('P-521'),
  'a secp256k1 key': spki('secp256k1'),
  'an Ed25519 key': generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }),
  'an X25519 key': generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' }),
  'an RSA key': generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
    format: 'der',
    type: 'spki',
  }),
  'the private key': generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    format: 'der',
    type: 'pkcs8',
  }),
  'a point that is not on the curve': Buffer.concat([p256.subarray(0, -1), Buffer.of(p256.at(-1)! ^ 1)]),
  'an extra byte': Buffer.concat([p256, Buffer.of(0)]),
  'a missing byte': p256.subarray(0, -1),
  'a compressed point': Buffer.concat([
    Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
    Buffer.of(2 + (p256.at(-1)! & 1)),
    p256.subarray(27, 59),
  ]),
};

/** Curve points of small order in every form (libsodium's list), invalid points, and points in non-canonical form. */
const badIdentityKeys = {
  'all zero': new Uint8Array(32),
  'all ones': new Uint8Array(32).fill(0xff),
  'the neutral element': Buffer.from(`01${'00'.repeat(31)}`, 'hex'),
  'the neutral element with a sign': Buffer.from(`01${'00'.repeat(30)}80`, 'hex'),
  'zero with a sign': Buffer.from(`${'00'.repeat(31)}80`, 'hex'),
  'of order 2': Buffer.from(`ec${'ff'.repeat(30)}7f`, 'hex'),
  'of order 2 with a sign': Buffer.from(`ec${'ff'.repeat(30)}ff`, 'hex'),
  'of order 8': Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex'),
  'of order 8 with a sign': Buffer.from(
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'hex',
  ),
  'another of order 8': Buffer.from(
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'hex',
  ),
  'another of order 8 with a sign': Buffer.from(
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    'hex',
  ),
  'p, which is zero': Buffer.from(`ed${'ff'.repeat(30)}7f`, 'hex'),
  'p + 1, which is one': Buffer.from(`ee${'ff'.repeat(30)}7f`, 'hex'),
  'p + 3, on the curve and not canonical': Buffer.from(`f0${'ff'.repeat(30)}7f`, 'hex'),
  'not a point on the curve': Buffer.from(`02${'00'.repeat(31)}`, 'hex'),
};

const badHellos: Readonly<
  Record<string, { hello: Uint8Array; code: 'MESSAGE_INVALID' | 'DEVICE_ID_INVALID' }>
> = {
  ...Object.fromEntries(
    badIds.map((id) => [
      `the device id ${JSON.stringify(id)}`,
      { hello: helloWith({ id }), code: 'DEVICE_ID_INVALID' },
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(badNames).flatMap(([what, name]) => [
      [`a name with ${what}`, { hello: helloWith({ name }), code: 'MESSAGE_INVALID' }],
      [`a platform with ${what}`, { hello: helloWith({ platform: name }), code: 'MESSAGE_INVALID' }],
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(badTlsKeys).map(([what, tlsKey]) => [
      `a TLS key that is ${what}`,
      { hello: helloWith({ tlsKey }), code: 'MESSAGE_INVALID' },
    ]),
  ),
  'a name that is not UTF-8': {
    hello: helloWith({ name: Uint8Array.of(0xff, 0xfe) }),
    code: 'MESSAGE_INVALID',
  },
  'an id that is not UTF-8': { hello: helloWith({ id: Uint8Array.of(0xc0, 0x80) }), code: 'MESSAGE_INVALID' },
  'an identity key of 31 bytes': {
    hello: helloWith({ identityKey: new Uint8Array(31) }),
    code: 'MESSAGE_INVALID',
  },
  'an identity key of 33 bytes': {
    hello: helloWith({ identityKey: new Uint8Array(33) }),
    code: 'MESSAGE_INVALID',
  },
  'the label of version 1': {
    hello: helloWith({ label: 'palyra-device-hello-v1' }),
    code: 'MESSAGE_INVALID',
  },
  ...Object.fromEntries(
    Object.entries(badIdentityKeys).map(([what, identityKey]) => [
      `an identity key that is ${what}`,
      { hello: helloWith({ identityKey }), code: 'MESSAGE_INVALID' as const },
    ]),
  ),
  "the daemon's label": { hello: helloWith({ label: 'palyra-daemon-hello-v2' }), code: 'MESSAGE_INVALID' },
  nothing: { hello: new Uint8Array(), code: 'MESSAGE_INVALID' },
  'an extra byte': { hello: Buffer.concat([helloWith({}), Buffer.of(0)]), code: 'MESSAGE_INVALID' },
  'a missing byte': { hello: helloWith({}).slice(0, -1), code: 'MESSAGE_INVALID' },
  'an oversized length': {
    hello: Buffer.concat([Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), helloWith({})]),
    code: 'MESSAGE_INVALID',
  },
  'a length that is not in its shortest form': {
    hello: Buffer.concat([Buffer.of(0x96, 0x00), helloWith({}).subarray(1)]),
    code: 'MESSAGE_INVALID',
  },
};

test('an unreadable hello is refused before a guess is counted', async (t) => {
  const { daemon, peer, device, code, guessesLeft } = await start(t);
  for (const [what, bad] of Object.entries(badHellos)) {
    await t.test(`with ${what}`, async () => {
      const handshake = await RawHandshake.open(device, peer, code);
      await expectCode(handshake.exchange({ deviceHello: bad.hello }), bad.code);
      await expectCode(handshake.exchange(), 'SESSION_NOT_FOUND');
    });
  }
  assert.equal(await guessesLeft(), 3);
  await stillPairs({ daemon, peer }, code);
});

test('a valid hello from the helper that makes the invalid ones is accepted', async (t) => {
  const { peer, device, code } = await start(t);
  for (const name of ['laptop', 'Küche 🍳', 'x'.repeat(64), 'स्मार्ट', 'שרה', 'a b']) {
    const handshake = await RawHandshake.open(device, peer, { ...code, slot: Buffer.from('000') });
    await handshake.exchange({ deviceHello: helloWith({ name }) });
  }
});
