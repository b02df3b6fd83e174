// Checks the published vectors of Noise_XX_25519_AESGCM_SHA256, and that a handshake rejects foreign messages.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { knownKey } from '../testing/known-key.ts';
import { CipherState } from './cipher-state.ts';
import { type Agreed, Handshake } from './handshake.ts';
import { webCrypto } from './web-crypto.ts';

interface Vector {
  readonly source: string;
  readonly prologue: string;
  readonly init_static: string;
  readonly init_ephemeral: string;
  readonly resp_static: string;
  readonly resp_ephemeral: string;
  readonly messages: readonly {
    readonly from: 'init' | 'resp';
    readonly payload: string;
    readonly ciphertext: string;
  }[];
}

const vectors: Vector[] = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8'));
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const nothing = new Uint8Array();

describe('Noise_XX_25519_AESGCM_SHA256', () => {
  for (const vector of vectors) {
    it(`produces the messages of ${vector.source}`, async () => {
      const prologue = bytes(vector.prologue);
      const initiator = await Handshake.start({
        role: 'initiator',
        prologue,
        staticKey: await knownKey(bytes(vector.init_static)),
        ephemeralKey: await knownKey(bytes(vector.init_ephemeral)),
      });
      const responder = await Handshake.start({
        role: 'responder',
        prologue,
        staticKey: await knownKey(bytes(vector.resp_static)),
        ephemeralKey: await knownKey(bytes(vector.resp_ephemeral)),
      });
      for (const { from: by, payload, ciphertext } of vector.messages.slice(0, 3)) {
        const [from, to] = by === 'init' ? [initiator, responder] : [responder, initiator];
        const message = await from.write(bytes(payload));
        assert.equal(hex(message), ciphertext);
        assert.equal(hex(await to.read(message)), payload);
      }
      assert.equal(hex(initiator.remoteStaticKey!), hex(responder.staticKey));
      assert.equal(hex(responder.remoteStaticKey!), hex(initiator.staticKey));
      const [a, b] = [await initiator.finish(), await responder.finish()];
      assert.equal(hex(a.hash), hex(b.hash));
      for (const { from: by, payload, ciphertext } of vector.messages.slice(3)) {
        const [from, to] = by === 'init' ? [a, b] : [b, a];
        const message = await from.send.seal(nothing, bytes(payload));
        assert.equal(hex(message), ciphertext);
        assert.equal(hex(await to.receive.open(nothing, message)), payload);
      }
    });
  }

  it('fails if the two sides use different prologues, which give different hashes', async () => {
    const initiator = await Handshake.start({ role: 'initiator', prologue: bytes('01') });
    const responder = await Handshake.start({ role: 'responder', prologue: bytes('02') });
    await responder.read(await initiator.write(nothing));
    await assert.rejects(initiator.read(await responder.write(nothing)), { name: 'OperationError' });
  });

  const spoil: [name: string, spoil: (message: Uint8Array) => Uint8Array][] = [
    ['cut off', (message) => message.subarray(0, 20)],
    ['without its last byte', (message) => message.subarray(0, -1)],
    ['empty', () => nothing],
    ['with an extra byte', (message) => new Uint8Array([...message, 0])],
    ['with one bit changed', (message) => message.with(-1, message.at(-1)! ^ 1)],
    ['with another ephemeral key', (message) => message.with(0, message[0]! ^ 1)],
    ['larger than Noise allows', () => new Uint8Array(65_536)],
  ];
  for (const [name, change] of spoil) {
    it(`refuses a second and a third message that is ${name}`, async () => {
      const { initiator, responder } = await begun();
      const second = await responder.write(nothing);
      await assert.rejects(initiator.read(change(second)));
      const other = await begun();
      await other.initiator.read(await other.responder.write(nothing));
      await assert.rejects(other.responder.read(change(await other.initiator.write(nothing))));
    });
  }

  it('refuses its own message when it is sent back', async () => {
    const initiator = await Handshake.start({ role: 'initiator', prologue: nothing });
    const first = await initiator.write(nothing);
    await assert.rejects(initiator.read(first));
  });

  it('refuses a message of another handshake', async () => {
    const [one, other] = [await begun(), await begun()];
    await assert.rejects(one.initiator.read(await other.responder.write(nothing)));
  });

  it('refuses a key of small order', async () => {
    const { responder } = await begun(async (first) => first.fill(0));
    await assert.rejects(responder.write(nothing));
  });

  it('accepts each message only in its turn, and gives no keys before the last one', async () => {
    const initiator = await Handshake.start({ role: 'initiator', prologue: nothing });
    await assert.rejects(initiator.read(nothing), TypeError);
    await assert.rejects(initiator.finish(), TypeError);
    await initiator.write(nothing);
    await assert.rejects(initiator.write(nothing), TypeError);
  });

  it('makes keys that cannot be exported', async () => {
    const { privateKey } = await webCrypto.generateKeyPair();
    assert.equal((privateKey as CryptoKey).extractable, false);
  });
});

describe('messages after the handshake', () => {
  it('open once, in order, and only on the other side', async () => {
    const [a, b] = await agreed();
    const [first, second, third] = await Promise.all(
      [1, 2, 3].map((n) => a.send.seal(nothing, Uint8Array.of(n))),
    );
    assert.deepEqual(await b.receive.open(nothing, first!), Uint8Array.of(1));
    // After a repeated, reordered or returned message the receiver can open no more, because its message number is used up.
    for (const wrong of [first!, third!]) {
      const [x, y] = await agreed();
      await x.send.seal(nothing, nothing);
      await assert.rejects(async () => y.receive.open(nothing, wrong));
    }
    await assert.rejects(async () => a.receive.open(nothing, second!));
    assert.deepEqual(await b.receive.open(nothing, second!), Uint8Array.of(2));
    await assert.rejects(async () => b.receive.open(nothing, second!));
  });

  it('get a new key after a fixed number on both sides, without a message about it', async () => {
    const [key, perKey] = [new Uint8Array(32).fill(7), 3];
    const [sender, receiver, never] = [
      new CipherState(key, webCrypto, perKey),
      new CipherState(key, webCrypto, perKey),
      new CipherState(key, webCrypto),
    ];
    for (let n = 0; n < 10; n++) {
      const sealed = await sender.seal(nothing, Uint8Array.of(n));
      assert.deepEqual(await receiver.open(nothing, sealed), Uint8Array.of(n));
      if (n < perKey) assert.deepEqual(await never.open(nothing, sealed), Uint8Array.of(n));
      else await assert.rejects(async () => never.open(nothing, sealed));
    }
  });
});

/** A handshake after its first message. */
async function begun(change: (first: Uint8Array) => unknown = () => {}) {
  const initiator = await Handshake.start({ role: 'initiator', prologue: nothing });
  const responder = await Handshake.start({ role: 'responder', prologue: nothing });
  const first = await initiator.write(nothing);
  await change(first);
  await responder.read(first);
  return { initiator, responder };
}

async function agreed(): Promise<[Agreed, Agreed]> {
  const { initiator, responder } = await begun();
  await initiator.read(await responder.write(nothing));
  await responder.read(await initiator.write(nothing));
  return [await initiator.finish(), await responder.finish()];
}
