import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { hasCode, IdentityError } from '../errors.ts';
import { explicit, implicit, sequence } from './der.ts';
import type { IssuedCertificate } from './issue.ts';
import { MAX_CERTIFICATE_BYTES, readAuthorityCertificate, readPeerCertificate } from './peer-certificate.ts';
import { certificatesToPem } from './pem.ts';
import { type OddCertificate, oddCertificate } from './testing/odd-certificate.ts';
import { daemonId, deviceId, SampleAuthority, trustDomain } from './testing/sample-authority.ts';

const uri = (text: string) => implicit(6, text);
const dns = (text: string) => implicit(2, text);
const good = `spiffe://${trustDomain}/device/${deviceId}`;
const other = `spiffe://${trustDomain}/device/01K8ZQ4YV3ZZZZZZZZZZZZZZZZ`;
const invalid = (error: unknown) => hasCode(error, 'CERTIFICATE_INVALID');
const hex = (text: string) => Buffer.from(text, 'hex');

let sample: SampleAuthority;
let device: IssuedCertificate;
before(async () => {
  sample = await SampleAuthority.create(new Date('2026-03-01T12:00:00Z'));
  device = await sample.device();
});

describe("a peer's certificate", () => {
  it('names a device, from DER or from Node’s object', () => {
    const expected = {
      fingerprint: createHash('sha256').update(device.der).digest('hex'),
      serial: device.serial,
      notBefore: device.notBefore,
      notAfter: device.notAfter,
      spiffeId: { kind: 'device', trustDomain, id: deviceId },
    };
    assert.deepEqual(readPeerCertificate(device.der), expected);
    assert.deepEqual(readPeerCertificate(new X509Certificate(device.der)), expected);
  });

  it('names a daemon among its host names', async () => {
    const daemon = await sample.daemon(['gate.example'], ['192.0.2.1', '2001:db8::1']);
    assert.deepEqual(readPeerCertificate(daemon.der).spiffeId, { kind: 'daemon', trustDomain, id: daemonId });
  });

  it('has a serial of 32 digits, even for a small number', () => {
    assert.equal(readPeerCertificate(oddCertificate({ names: [[uri(good)]] })).serial, `${'0'.repeat(31)}1`);
  });

  it('is not an authority’s certificate', () => {
    for (const { der } of [sample.root, sample.issuing])
      assert.throws(() => readPeerCertificate(der), invalid);
    assert.throws(() => readPeerCertificate(oddCertificate({ names: [[uri(good)]], ca: true })), invalid);
    assert.throws(
      () => readPeerCertificate(oddCertificate({ names: [[uri(`spiffe://${trustDomain}`)]] })),
      invalid,
    );
  });
});

/** Each differs in one detail from the certificate that is accepted above. */
const refused: Readonly<Record<string, OddCertificate>> = {
  'no alternative name': { names: [] },
  'two lists of names': { names: [[uri(good)], [uri(other)]] },
  'an empty list of names': { names: [[]] },
  'no URI': { names: [[dns('a.example')]] },
  'two URIs': { names: [[uri(good), uri(other)]] },
  'the same URI twice': { names: [[uri(good), uri(good)]] },
  'a second URI that is not a SPIFFE ID': { names: [[uri(good), uri('https://a.example')]] },
  'a URI that is not a SPIFFE ID': { names: [[uri('https://a.example')]] },
  'an empty URI': { names: [[uri('')]] },
  'a URI inside a DNS name': { names: [[dns(`a.example, URI:${good}`)]] },
  'a URI inside a DNS name, before a real one': { names: [[dns(`a, URI:${other}`), uri(good)]] },
  'a DNS name inside a URI': { names: [[uri(`${good}, DNS:a.example`)]] },
  'a second URI inside the URI': { names: [[uri(`${good}, URI:${other}`)]] },
  'a URI with a quote': { names: [[uri(`${good}"`)]] },
  'a URI in quotes': { names: [[uri(`"${good}"`)]] },
  'a URI with a backslash': { names: [[uri(`${good}\\u002c`)]] },
  'a URI with a NUL': { names: [[uri(`${good}\0.example`)]] },
  'a URI with a line end': { names: [[uri(`${good}\n`)]] },
  'a URI with other letters': { names: [[uri(`${good}é`)]] },
  'an e-mail address': { names: [[uri(good), implicit(1, 'a@a.example')]] },
  'a directory name': {
    names: [[uri(good), explicit(4, sequence())]],
  },
  'a registered id': { names: [[uri(good), implicit(8, hex('2a0304'))]] },
  'an address of 5 bytes': { names: [[uri(good), implicit(7, new Uint8Array(5))]] },
  'a negative serial': { names: [[uri(good)]], serial: hex('0201ff') },
  'a serial of 136 bits': { names: [[uri(good)]], serial: hex(`0211${'7f'.repeat(17)}`) },
  'an end before its start': {
    names: [[uri(good)]],
    notAfter: hex(`170d${Buffer.from('200101000000Z').toString('hex')}`),
  },
  'an end that is not a date': {
    names: [[uri(good)]],
    notAfter: hex(`170d${Buffer.from('279999999999Z').toString('hex')}`),
  },
  'too many bytes': { names: [[uri(good)]], padding: MAX_CERTIFICATE_BYTES },
};

describe('a certificate is refused', () => {
  for (const [what, odd] of Object.entries(refused)) {
    it(`with ${what}`, () => {
      const der = oddCertificate(odd);
      assert.throws(() => readPeerCertificate(der), invalid);
      if (what !== 'an end that is not a date') {
        const parsed = new X509Certificate(der);
        assert.throws(() => readPeerCertificate(parsed), invalid, 'from Node’s object');
      }
    });
  }

  it('when it is not DER', () => {
    const { der } = device;
    for (const bytes of [
      new Uint8Array(0),
      Buffer.from(certificatesToPem([der])),
      der.subarray(0, der.length - 1),
      der.subarray(1),
      Uint8Array.from([...der, 0]),
      Buffer.concat([der, der]),
      new Uint8Array(MAX_CERTIFICATE_BYTES + 1).fill(0x30),
      new Uint8Array(1024),
    ]) {
      assert.throws(() => readPeerCertificate(bytes), invalid);
    }
  });

  it('or read, without any other error, when one byte is changed', () => {
    fc.assert(
      fc.property(fc.nat(device.der.length - 1), fc.integer({ min: 1, max: 255 }), (at, xor) => {
        const der = device.der.map((byte, i) => (i === at ? byte ^ xor : byte));
        try {
          const { fingerprint } = readPeerCertificate(der);
          assert.notEqual(fingerprint, device.fingerprint);
        } catch (error) {
          assert.ok(error instanceof IdentityError, String(error));
          assert.equal(error.code, 'CERTIFICATE_INVALID');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("an authority's certificate", () => {
  it('names its trust domain', () => {
    const { der, keySha256: _, ...summary } = sample.root;
    assert.deepEqual(readAuthorityCertificate(der), { ...summary, trustDomain });
  });

  it('is not a leaf’s certificate', () => {
    assert.throws(() => readAuthorityCertificate(device.der), invalid);
    assert.throws(
      () => readAuthorityCertificate(oddCertificate({ names: [[uri(`spiffe://${trustDomain}`)]] })),
      invalid,
    );
  });
});
