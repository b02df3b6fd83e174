import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { beforeEach, describe, it } from 'node:test';
import { hasCode, type IdentityErrorCode } from '../errors.ts';
import {
  CertificateAuthority,
  DAEMON_LIFE_MS,
  DEVICE_LIFE_MS,
  ISSUING_LIFE_MS,
  MAX_DEVICE_LIFE_MS,
  MIN_DEVICE_LIFE_MS,
  makeIssuing,
  makeRoot,
} from './authority.ts';
import { LocalSigner } from './local-signer.ts';
import { certificatesToPem } from './pem.ts';
import { run, writeFiles } from './testing/command.ts';
import { daemonId, deviceId, SampleAuthority, trustDomain } from './testing/sample-authority.ts';
import { TlsKey } from './tls-key.ts';

const code = (expected: IdentityErrorCode) => (error: unknown) => hasCode(error, expected);
const start = new Date('2026-03-01T12:00:00Z');
const at = (ms: number) => new Date(start.getTime() + ms);
const minute = 60_000;

let sample: SampleAuthority;
beforeEach(async () => {
  sample = await SampleAuthority.create(start);
});

describe('the life of a certificate', () => {
  it('begins before now by the allowed clock difference, and is one day for a device and seven for a daemon', async () => {
    sample.now = at(25 * minute);
    const device = await sample.device();
    assert.deepEqual(device.notBefore, at(15 * minute));
    assert.deepEqual(device.notAfter, at(25 * minute + DEVICE_LIFE_MS));
    assert.deepEqual((await sample.daemon()).notAfter, at(25 * minute + DAEMON_LIFE_MS));
  });

  it('has whole seconds, as in the certificate', async () => {
    sample.now = at(10 * minute + 999);
    const { der, notBefore, notAfter } = await sample.device();
    const { validFromDate, validToDate } = new X509Certificate(der);
    assert.deepEqual([notBefore, notAfter], [validFromDate, validToDate]);
    assert.equal(notBefore.getTime() % 1000, 0);
  });

  it('can be set for a device, from one minute to 30 days', async () => {
    for (const lifeMs of [MIN_DEVICE_LIFE_MS, MAX_DEVICE_LIFE_MS]) {
      assert.deepEqual((await sample.device(lifeMs)).notAfter, at(lifeMs));
    }
    for (const lifeMs of [MIN_DEVICE_LIFE_MS - 1, MAX_DEVICE_LIFE_MS + 1, 0, -1, Number.NaN, Infinity]) {
      await assert.rejects(sample.device(lifeMs), TypeError, String(lifeMs));
    }
  });

  it('never ends after the issuing CA, which never ends after its root', async () => {
    assert.deepEqual(sample.issuing.notAfter, at(ISSUING_LIFE_MS));
    sample.now = at(ISSUING_LIFE_MS - 5 * minute);
    assert.deepEqual((await sample.device()).notAfter, sample.issuing.notAfter);
    assert.deepEqual((await sample.daemon()).notAfter, sample.issuing.notAfter);

    sample.now = new Date(sample.root.notAfter.getTime() - 5 * minute);
    const late = await makeIssuing({
      trustDomain,
      root: { der: sample.root.der, signer: sample.rootSigner },
      publicKey: LocalSigner.generate().publicKey,
      clock: sample.clock,
      randomBytes,
    });
    assert.deepEqual(late.notAfter, sample.root.notAfter);
  });

  it('needs at least a minute of the issuer’s life', async () => {
    sample.now = at(ISSUING_LIFE_MS - minute);
    assert.deepEqual((await sample.device()).notAfter, sample.issuing.notAfter);
    for (const ms of [ISSUING_LIFE_MS - minute + 1, ISSUING_LIFE_MS, 2 * ISSUING_LIFE_MS]) {
      sample.now = at(ms);
      await assert.rejects(sample.device(), code('CERTIFICATE_EXPIRED'));
      await assert.rejects(sample.daemon(), code('CERTIFICATE_EXPIRED'));
    }
  });

  it('is refused when the clock is before the issuer’s start', async () => {
    sample.now = at(-30_000);
    const { notBefore } = await sample.device();
    assert.deepEqual(notBefore, sample.issuing.notBefore, 'not before its issuer');
    sample.now = at(-30 * minute);
    await assert.rejects(sample.device(), code('CERTIFICATE_NOT_YET_VALID'));
  });

  it('may extend past 2050, where the encoding of dates changes, in a chain that OpenSSL accepts', async (t) => {
    const last = new Date('2049-12-31T23:59:00Z');
    const century = await SampleAuthority.create(last);
    const device = await century.device();
    assert.deepEqual(new X509Certificate(device.der).validToDate, new Date('2050-01-01T23:59:00Z'));
    const paths = writeFiles(t, {
      root: certificatesToPem([century.root.der]),
      issuing: certificatesToPem([century.issuing.der]),
      device: certificatesToPem([device.der]),
    });
    const dates = await run('openssl', ['asn1parse', '-in', paths.device]);
    assert.match(dates.output, /UTCTIME\s+:491231234900Z\n[^\n]*GENERALIZEDTIME\s+:20500101235900Z/);
    for (const seconds of [last.getTime() / 1000, last.getTime() / 1000 + 3600]) {
      const chain = ['-CAfile', paths.root, '-untrusted', paths.issuing, paths.device];
      const verified = await run('openssl', ['verify', '-x509_strict', '-attime', String(seconds), ...chain]);
      assert.equal(verified.code, 0, verified.output);
    }
  });
});

describe('the key in a request', () => {
  it('must be the canonical form of a P-256 key, for every kind of certificate', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const tlsKey = publicKey.export({ type: 'spki', format: 'der' });
    const names = { dnsNames: [], ipAddresses: [] };
    await assert.rejects(sample.authority.issueDevice({ deviceId, tlsKey }), code('MESSAGE_INVALID'));
    await assert.rejects(
      sample.authority.issueDaemon({ daemonId, tlsKey, ...names }),
      code('MESSAGE_INVALID'),
    );
    const { root, rootSigner, clock } = sample;
    await assert.rejects(
      makeIssuing({
        trustDomain,
        root: { der: root.der, signer: rootSigner },
        publicKey: tlsKey,
        clock,
        randomBytes,
      }),
      code('MESSAGE_INVALID'),
    );
  });
});

describe('the public data of an authority', () => {
  it('is its chain and its trust bundle', () => {
    const { authority, root, issuing } = sample;
    assert.equal(authority.trustDomain, trustDomain);
    assert.deepEqual(authority.issuingCertificate, issuing.der);
    assert.deepEqual(authority.rootCertificate, root.der);
    assert.equal(authority.rootFingerprint, root.fingerprint);
    assert.deepEqual(authority.trustBundle(), [root.der]);
  });

  it('is plain bytes that share no memory', async () => {
    const { der } = await sample.device();
    assert.equal(Object.getPrototypeOf(der), Uint8Array.prototype);
    assert.equal(der.buffer.byteLength, der.length);
  });
});

describe('inconsistent parts of an authority', () => {
  const build = (parts: {
    trustDomain?: string;
    root?: Uint8Array;
    issuing?: Uint8Array;
    signer?: LocalSigner;
  }) =>
    new CertificateAuthority({
      trustDomain: parts.trustDomain ?? trustDomain,
      root: { der: parts.root ?? sample.root.der },
      issuing: { der: parts.issuing ?? sample.issuing.der, signer: parts.signer ?? sample.issuingSigner },
      clock: sample.clock,
      randomBytes,
    });

  it('are refused by the constructor', async () => {
    build({});
    const other = await SampleAuthority.create(start);
    const device = await sample.device();
    const damaged = sample.issuing.der.map((byte, i) =>
      i === sample.issuing.der.length - 1 ? byte ^ 1 : byte,
    );
    for (const [what, parts] of Object.entries({
      'another trust domain': { trustDomain: 'other.internal' },
      'a foreign root': { root: other.root.der },
      'a foreign issuing CA': { issuing: other.issuing.der, signer: other.issuingSigner },
      'the key of another CA': { signer: LocalSigner.generate() },
      'a leaf as issuing CA': {
        issuing: device.der,
        signer: LocalSigner.fromPkcs8(sample.deviceKey.toPkcs8()),
      },
      'the root as issuing CA': { issuing: sample.root.der, signer: sample.rootSigner },
      'an issuing CA as root': { root: sample.issuing.der },
      'an invalid signature': { issuing: damaged },
      'no certificate': { root: new Uint8Array(0) },
    })) {
      assert.throws(() => build(parts), code('CERTIFICATE_INVALID'), what);
    }
  });

  it('are refused when a root is made with a signer of another key', async () => {
    const { clock } = sample;
    const wrong = LocalSigner.generate();
    const signer = {
      publicKey: LocalSigner.generate().publicKey,
      sign: (data: Uint8Array) => wrong.sign(data),
    };
    await assert.rejects(makeRoot({ trustDomain, signer, clock, randomBytes }), code('CERTIFICATE_INVALID'));
    const flat = TlsKey.generate();
    await assert.rejects(
      makeRoot({ trustDomain, signer: flat, clock, randomBytes }),
      code('CERTIFICATE_INVALID'),
      'a signature that is not DER',
    );
  });

  it('are refused when an issuing CA is made', async () => {
    const { root, clock } = sample;
    const { publicKey } = sample.issuingSigner;
    const make = (over: object) =>
      makeIssuing({
        trustDomain,
        root: { der: root.der, signer: sample.rootSigner },
        publicKey,
        clock,
        randomBytes,
        ...over,
      });
    await assert.rejects(make({ trustDomain: 'other.internal' }), code('CERTIFICATE_INVALID'));
    const signer = LocalSigner.generate();
    await assert.rejects(make({ root: { der: root.der, signer } }), code('CERTIFICATE_INVALID'));
    const lying = { publicKey: sample.rootSigner.publicKey, sign: (data: Uint8Array) => signer.sign(data) };
    await assert.rejects(make({ root: { der: root.der, signer: lying } }), code('CERTIFICATE_INVALID'));
  });

  it('are refused when the trust domain is invalid', async () => {
    const { clock, rootSigner } = sample;
    await assert.rejects(
      makeRoot({ trustDomain: 'Not A Domain', signer: rootSigner, clock, randomBytes }),
      code('MESSAGE_INVALID'),
    );
  });
});

describe('an external signer', () => {
  it('may answer asynchronously', async () => {
    const { root, issuing, issuingSigner, clock } = sample;
    const signer = {
      publicKey: issuingSigner.publicKey,
      sign: async (data: Uint8Array) => issuingSigner.sign(data),
    };
    const authority = new CertificateAuthority({
      trustDomain,
      root: { der: root.der },
      issuing: { der: issuing.der, signer },
      clock,
      randomBytes,
    });
    const { der } = await authority.issueDevice({ deviceId, tlsKey: sample.deviceKey.publicKey });
    assert.equal(new X509Certificate(der).verify(new X509Certificate(issuing.der).publicKey), true);
  });
});
