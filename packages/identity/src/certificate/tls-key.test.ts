import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, ECDH, generateKeyPairSync, verify, webcrypto } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { hasCode } from '../errors.ts';
import { LocalSigner } from './local-signer.ts';
import { checkP256Spki, p256PublicKey, p256Signature, TlsKey } from './tls-key.ts';

const spki = { type: 'spki', format: 'der' } as const;
const pkcs8 = { type: 'pkcs8', format: 'der' } as const;
const data = new TextEncoder().encode('what is signed');
const valid = TlsKey.generate().publicKey;

/** A compressed point in an otherwise valid SubjectPublicKeyInfo. OpenSSL accepts it. */
function compressed(): Buffer {
  const point = ECDH.convertKey(
    valid.subarray(26),
    'prime256v1',
    undefined,
    undefined,
    'compressed',
  ) as Buffer;
  const der = Buffer.concat([
    Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
    point,
  ]);
  assert.equal(createPublicKey({ key: der, ...spki }).asymmetricKeyType, 'ec');
  return der;
}

const changed = (at: number, xor: number) => valid.map((byte, index) => (index === at ? byte ^ xor : byte));
const withPoint = (x: string, y: string) =>
  Uint8Array.from([...valid.subarray(0, 27), ...Buffer.from(x + y, 'hex')]);
/** The curve has a point with x = 0 (SEC 2, 2.4.2: y is a square root of b). */
const rootOfB = '66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4';
const fieldPrime = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

const badKeys: Readonly<Record<string, Uint8Array>> = {
  'an RSA key': rsa.publicKey.export(spki),
  'a P-384 key': generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export(spki),
  'a secp256k1 key, which has the same length': generateKeyPairSync('ec', {
    namedCurve: 'secp256k1',
  }).publicKey.export(spki),
  'an Ed25519 key': generateKeyPairSync('ed25519').publicKey.export(spki),
  'an X25519 key': generateKeyPairSync('x25519').publicKey.export(spki),
  'a compressed point': compressed(),
  'a hybrid point': changed(26, 0x04 ^ (0x06 | (valid[90]! & 1))),
  'a point that is not on the curve': changed(90, 1),
  'the point (0, 0)': Uint8Array.from([...valid.subarray(0, 27), ...new Uint8Array(64)]),
  'a coordinate that is not reduced': withPoint(fieldPrime, rootOfB),
  'an extra byte': Uint8Array.from([...valid, 0]),
  'the last byte missing': valid.subarray(0, 90),
  'only the point': valid.subarray(26),
  nothing: new Uint8Array(0),
  'a private key': createPrivateKey({ key: Buffer.from(TlsKey.generate().toPkcs8()), ...pkcs8 }).export(
    pkcs8,
  ),
  'a megabyte': new Uint8Array(1024 * 1024),
};

describe('the check of a P-256 public key', () => {
  it('accepts the keys that Node and WebCrypto export', async () => {
    checkP256Spki(valid);
    checkP256Spki(withPoint('00'.repeat(32), rootOfB));
    const pair = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ]);
    checkP256Spki(new Uint8Array(await webcrypto.subtle.exportKey('spki', pair.publicKey)));
  });

  for (const [what, der] of Object.entries(badKeys)) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => checkP256Spki(der),
        (error) => hasCode(error, 'MESSAGE_INVALID'),
      );
    });
  }

  it('refuses every key with one bit changed', () => {
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.nat(7), (at, bit) => {
        assert.throws(
          () => checkP256Spki(changed(at, 1 << bit)),
          (error) => hasCode(error, 'MESSAGE_INVALID'),
        );
      }),
    );
  });
});

describe('a TLS key', () => {
  it('makes signatures that WebCrypto verifies', async () => {
    const key = TlsKey.generate();
    const signature = key.sign(data);
    assert.equal(signature.length, 64);
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const publicKey = await webcrypto.subtle.importKey('spki', Buffer.from(key.publicKey), algorithm, false, [
      'verify',
    ]);
    assert.equal(await webcrypto.subtle.verify(algorithm, publicKey, Buffer.from(signature), data), true);
  });

  it('encodes its public key as OpenSSL does, even when a coordinate is a short number', () => {
    const seen = { shortX: false, shortY: false };
    for (let count = 0; !(seen.shortX && seen.shortY); count += 1) {
      const key = TlsKey.generate();
      const der = createPublicKey(key.toPem()).export(spki);
      assert.ok(der.equals(key.publicKey));
      assert.ok(der.equals(TlsKey.fromPkcs8(key.toPkcs8()).publicKey));
      if (der[27] === 0) seen.shortX = true;
      if (der[59] === 0) seen.shortY = true;
      assert.ok(count < 100_000);
    }
  });

  it('makes signatures of 64 bytes, even when r or s is a short number', () => {
    const key = TlsKey.generate();
    const publicKey = createPublicKey({ key: Buffer.from(key.publicKey), ...spki });
    const seen = { shortR: false, shortS: false };
    // One number in 256 is short.
    for (let count = 0; !(seen.shortR && seen.shortS); count += 1) {
      const signature = key.sign(data);
      assert.ok(verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature));
      if (signature[0] === 0) seen.shortR = true;
      if (signature[32] === 0) seen.shortS = true;
      assert.ok(count < 100_000);
    }
  });

  it('can be exported and imported as PKCS #8 and PEM', () => {
    const key = TlsKey.generate();
    assert.deepEqual(TlsKey.fromPkcs8(key.toPkcs8()).publicKey, key.publicKey);
    assert.deepEqual(new Uint8Array(createPublicKey(key.toPem()).export(spki)), key.publicKey);
  });

  it('returns plain bytes, which JSON does not treat as a Buffer', () => {
    const key = TlsKey.generate();
    for (const bytes of [key.publicKey, key.toPkcs8(), key.sign(data)]) {
      assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
    }
  });

  it('cannot be printed', () => {
    for (const key of [TlsKey.generate(), LocalSigner.generate()]) {
      assert.equal(JSON.stringify({ key }), '{"key":"redacted"}');
      assert.match(inspect({ key }, { showHidden: true }), /^\{ key: (TlsKey|LocalSigner) redacted \}$/);
      assert.doesNotMatch(`${Object.values(key)}${String(key)}`, /PRIVATE|KeyObject/);
    }
  });

  it('can only be read from a P-256 key', () => {
    const foreign = [
      rsa.privateKey.export(pkcs8),
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(pkcs8),
      generateKeyPairSync('ed25519').privateKey.export(pkcs8),
      TlsKey.generate().toPkcs8().subarray(0, 100),
      new Uint8Array(0),
      new Uint8Array(4096),
    ];
    for (const der of foreign) {
      for (const read of [TlsKey.fromPkcs8, LocalSigner.fromPkcs8]) {
        assert.throws(
          () => read(der),
          (error) => hasCode(error, 'SECRET_CORRUPT'),
        );
      }
    }
  });
});

describe('a local signer', () => {
  it('makes DER signatures, even after a restart', () => {
    const signer = LocalSigner.generate();
    const again = LocalSigner.fromPkcs8(signer.toPkcs8());
    assert.deepEqual(again.publicKey, signer.publicKey);
    const publicKey = createPublicKey({ key: Buffer.from(signer.publicKey), ...spki });
    assert.equal(verify('sha256', data, publicKey, again.sign(data)), true);
  });
});

describe('the output of a token', () => {
  it('a point is converted to the key as OpenSSL encodes it', () => {
    assert.deepEqual(p256PublicKey(valid.subarray(26)), valid);
  });

  for (const [what, point] of Object.entries({
    nothing: new Uint8Array(),
    'half a point': valid.subarray(26, 60),
    'a point that is not on the curve': changed(90, 1).subarray(26),
    'a point with extra bytes': Uint8Array.of(...valid.subarray(26), 0),
  })) {
    it(`${what} is not a key`, () => {
      assert.throws(
        () => p256PublicKey(point),
        (error) => hasCode(error, 'MESSAGE_INVALID'),
      );
    });
  }

  it('two numbers are converted to a signature that OpenSSL accepts, whatever their first bytes are', () => {
    const key = TlsKey.generate();
    const publicKey = createPublicKey({ key: Buffer.from(key.publicKey), ...spki });
    // Enough rounds to include numbers with their first bit set, and numbers that begin with a zero byte.
    for (let round = 0; round < 600; round += 1) {
      const signature = p256Signature(key.sign(Uint8Array.of(round & 255, round >> 8)));
      assert.ok(verify('sha256', Uint8Array.of(round & 255, round >> 8), publicKey, signature));
    }
    assert.throws(() => p256Signature(new Uint8Array(63)), TypeError);
  });
});
