import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { makeFacts, makeSerial, signCertificate } from './issue.ts';
import { LocalSigner } from './local-signer.ts';
import { describeIssuer, rootProfile } from './profile.ts';
import { trustDomain } from './testing/sample-authority.ts';

const leadingZeros = fc
  .tuple(fc.nat(16), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(([zeros, bytes]) => bytes.fill(0, 0, zeros));
const leadingOnes = fc
  .tuple(fc.nat(16), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(([ones, bytes]) => bytes.fill(255, 0, ones));

describe('a serial number', () => {
  it('is positive and 16 bytes long, whatever the random bytes', () => {
    fc.assert(
      fc.property(fc.oneof(leadingZeros, leadingOnes), (random) => {
        const serial = makeSerial(random);
        assert.equal(serial.length, 16);
        assert.ok(serial[0]! >= 0x01 && serial[0]! <= 0x7f);
        assert.deepEqual(serial.subarray(1), random.subarray(1));
      }),
    );
  });

  it('can begin with every byte from 0x01 to 0x7f', () => {
    const first = Array.from({ length: 256 }, (_, byte) => makeSerial(new Uint8Array(16).fill(byte))[0]!);
    assert.deepEqual(
      [...new Set(first)].sort((a, b) => a - b),
      Array.from({ length: 127 }, (_, i) => i + 1),
    );
  });

  it('requires exactly 16 random bytes', () => {
    for (const size of [0, 15, 17]) assert.throws(() => makeSerial(new Uint8Array(size)), TypeError);
  });

  it('is the same in the record and in the certificate, whatever the random bytes', async () => {
    const signer = LocalSigner.generate();
    const issuer = describeIssuer('root', trustDomain, signer.publicKey);
    const clock = { now: () => new Date('2026-03-01') };
    await fc.assert(
      fc.asyncProperty(fc.oneof(leadingZeros, leadingOnes), async (random) => {
        const facts = makeFacts({ clock, randomBytes: () => random }, signer.publicKey, 60_000, undefined);
        const { der, serial } = await signCertificate(rootProfile(issuer, facts), facts, signer);
        assert.match(serial, /^[0-7][0-9a-f]{31}$/);
        assert.equal(new X509Certificate(der).serialNumber.toLowerCase(), serial);
      }),
      { numRuns: 50 },
    );
  });
});
