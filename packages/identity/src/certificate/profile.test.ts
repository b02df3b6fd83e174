// Reads every profile with three independent readers: OpenSSL's command, Node's X509Certificate, @peculiar/x509.

import assert from 'node:assert/strict';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { hasCode } from '../errors.ts';
import { DEVICE_LIFE_MS } from './authority.ts';
import { objectIdentifier, sequence, setOf, utf8String } from './der.ts';
import { type IssuedCertificate, makeFacts, signCertificate } from './issue.ts';
import { LocalSigner } from './local-signer.ts';
import { certificatesToPem } from './pem.ts';
import { describeIssuer, deviceProfile, issuingProfile, MAX_DAEMON_NAMES } from './profile.ts';
import { run, writeFiles } from './testing/command.ts';
import { x509 } from './testing/peculiar.ts';
import { daemonId, deviceId, SampleAuthority, trustDomain } from './testing/sample-authority.ts';
import { TlsKey } from './tls-key.ts';

const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';
const now = new Date('2026-03-01T12:00:00.700Z');
const nowSeconds = String(Math.floor(now.getTime() / 1000));

let sample: SampleAuthority;
let certificates: Readonly<Record<'root' | 'issuing' | 'daemon' | 'device', IssuedCertificate>>;
before(async () => {
  sample = await SampleAuthority.create(now);
  certificates = {
    root: sample.root,
    issuing: sample.issuing,
    daemon: await sample.daemon(['Gate.Example', 'localhost'], ['192.0.2.1', '2001:db8::1']),
    device: await sample.device(),
  };
});

const keyId = (spki: Uint8Array) =>
  webcrypto.subtle
    .digest('SHA-256', spki.slice(26))
    .then((hash) => Buffer.from(hash).subarray(0, 20).toString('hex'));

/** The expected values of each profile. `key` and `issuerKey` come from the sample. */
const expected = {
  root: {
    subject: /^CN=Palyra root CA [0-9a-f]{8}$/,
    key: () => sample.rootSigner.publicKey,
    issuerKey: () => sample.rootSigner.publicKey,
    notAfter: '2036-02-27T12:00:00.000Z',
    names: [['url', `spiffe://${trustDomain}`]],
    authority: { pathLength: 1 },
  },
  issuing: {
    subject: /^CN=Palyra issuing CA [0-9a-f]{8}$/,
    key: () => sample.issuingSigner.publicKey,
    issuerKey: () => sample.rootSigner.publicKey,
    notAfter: '2026-05-30T12:00:00.000Z',
    names: [['url', `spiffe://${trustDomain}`]],
    authority: { pathLength: 0 },
  },
  daemon: {
    subject: new RegExp(`^CN=daemon ${daemonId}$`),
    key: () => sample.daemonKey.publicKey,
    issuerKey: () => sample.issuingSigner.publicKey,
    notAfter: '2026-03-08T12:00:00.000Z',
    names: [
      ['url', `spiffe://${trustDomain}/daemon/${daemonId}`],
      ['dns', trustDomain],
      ['dns', 'localhost'],
      ['dns', 'gate.example'],
      ['ip', '192.0.2.1'],
      ['ip', '2001:db8::1'],
    ],
    authority: undefined,
  },
  device: {
    subject: new RegExp(`^CN=device ${deviceId}$`),
    key: () => sample.deviceKey.publicKey,
    issuerKey: () => sample.issuingSigner.publicKey,
    notAfter: '2026-03-02T12:00:00.000Z',
    names: [['url', `spiffe://${trustDomain}/device/${deviceId}`]],
    authority: undefined,
  },
} as const;
const profiles = ['root', 'issuing', 'daemon', 'device'] as const;

for (const profile of profiles) {
  const want = expected[profile];

  describe(`the ${profile} certificate`, () => {
    it('matches its profile in @peculiar/x509', async () => {
      const issued = certificates[profile];
      const seen = new x509.X509Certificate(Buffer.from(issued.der));
      assert.match(seen.subject, want.subject);
      assert.ok(seen.subject.length - 'CN='.length <= 64);
      assert.equal(seen.serialNumber, issued.serial);
      assert.equal(seen.notBefore.toISOString(), '2026-03-01T11:50:00.000Z');
      assert.equal(seen.notAfter.toISOString(), want.notAfter);
      assert.deepEqual(issued.notBefore, seen.notBefore);
      assert.deepEqual(issued.notAfter, seen.notAfter);
      assert.deepEqual(new Uint8Array(seen.publicKey.rawData), want.key());
      assert.deepEqual(seen.signatureAlgorithm, { name: 'ECDSA', hash: { name: 'SHA-256' } });

      const constraints = seen.getExtension(x509.BasicConstraintsExtension)!;
      assert.equal(constraints.critical, true);
      assert.equal(constraints.ca, want.authority !== undefined);
      assert.equal(constraints.pathLength, want.authority?.pathLength);
      const usages = seen.getExtension(x509.KeyUsagesExtension)!;
      assert.equal(usages.critical, true);
      const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;
      assert.equal(usages.usages, want.authority ? keyCertSign | cRLSign : digitalSignature);
      const extended = seen.getExtension(x509.ExtendedKeyUsageExtension) ?? undefined;
      assert.deepEqual(
        extended && [...extended.usages],
        want.authority ? undefined : [serverAuth, clientAuth],
      );
      assert.equal(seen.getExtension(x509.SubjectKeyIdentifierExtension)!.keyId, await keyId(want.key()));
      assert.equal(
        seen.getExtension(x509.AuthorityKeyIdentifierExtension)!.keyId,
        await keyId(want.issuerKey()),
      );
      const names = seen.getExtension(x509.SubjectAlternativeNameExtension)!;
      assert.equal(names.critical, false);
      assert.deepEqual(
        names.names.items.map(({ type, value }) => [type, value]),
        want.names,
      );
      assert.equal(seen.extensions.length, want.authority ? 5 : 6);
    });

    it('matches it in Node', () => {
      const issued = certificates[profile];
      const seen = new X509Certificate(issued.der);
      assert.match(seen.subject, want.subject);
      assert.equal(seen.ca, want.authority !== undefined);
      assert.equal(seen.serialNumber.toLowerCase(), issued.serial);
      assert.equal(seen.fingerprint256.replaceAll(':', '').toLowerCase(), issued.fingerprint);
      assert.deepEqual([seen.validFromDate, seen.validToDate], [issued.notBefore, issued.notAfter]);
      assert.deepEqual(seen.keyUsage, want.authority ? undefined : [serverAuth, clientAuth]);
      assert.ok(seen.subjectAltName!.startsWith(`URI:${want.names[0][1]}`));
    });

    it('can be read by openssl x509', async (t) => {
      const { pem } = writeFiles(t, { pem: certificatesToPem([certificates[profile].der]) });
      const { code, output } = await run('openssl', ['x509', '-in', pem, '-noout', '-text']);
      assert.equal(code, 0, output);
      assert.match(output, /Version: 3 \(0x2\)/);
      assert.match(output, /Signature Algorithm: ecdsa-with-SHA256/);
      assert.match(output, /ASN1 OID: prime256v1/);
      assert.match(
        output,
        want.authority
          ? new RegExp(`Basic Constraints: critical\\s+CA:TRUE, pathlen:${want.authority.pathLength}\\n`)
          : /Basic Constraints: critical\s+CA:FALSE\n/,
      );
      assert.match(
        output,
        want.authority
          ? /Key Usage: critical\s+Certificate Sign, CRL Sign\n/
          : /Key Usage: critical\s+Digital Signature\n/,
      );
      assert.match(output, /Subject Alternative Name: \n/, 'not critical');
    });
  });
}

describe('the chain', () => {
  it('is accepted by openssl verify in strict mode, for clients and servers', async (t) => {
    const paths = writeFiles(t, {
      root: certificatesToPem([sample.root.der]),
      issuing: certificatesToPem([sample.issuing.der]),
      device: certificatesToPem([certificates.device.der]),
      daemon: certificatesToPem([certificates.daemon.der]),
    });
    const verify = (...args: string[]) =>
      run('openssl', ['verify', '-x509_strict', '-attime', nowSeconds, '-CAfile', paths.root, ...args]);
    for (const leaf of [paths.device, paths.daemon]) {
      for (const purpose of ['sslclient', 'sslserver']) {
        const { code, output } = await verify('-purpose', purpose, '-untrusted', paths.issuing, leaf);
        assert.equal(code, 0, output);
      }
    }
    const host = ['-verify_hostname', trustDomain, '-verify_ip', '2001:db8::1'];
    assert.equal((await verify(...host, '-untrusted', paths.issuing, paths.daemon)).code, 0);
    assert.equal((await verify(paths.issuing)).code, 0);

    assert.match((await verify(paths.device)).output, /unable to get local issuer certificate/);
    const lesser = ['-verify_hostname', 'other.example', '-untrusted', paths.issuing, paths.daemon];
    assert.match((await verify(...lesser)).output, /hostname mismatch/);
  });

  it('ends at a leaf, and an issuing CA cannot issue another CA', async (t) => {
    const facts = (publicKey: Uint8Array) =>
      makeFacts({ clock: sample.clock, randomBytes }, publicKey, DEVICE_LIFE_MS, undefined);
    const victim = facts(TlsKey.generate().publicKey);
    const deviceName = sequence(
      setOf(sequence(objectIdentifier('2.5.4.3'), utf8String(`device ${deviceId}`))),
    );
    const deviceAsIssuer = {
      ...describeIssuer('issuing', trustDomain, sample.deviceKey.publicKey),
      name: deviceName,
    };
    const deviceSigner = LocalSigner.fromPkcs8(sample.deviceKey.toPkcs8());
    const belowDevice = await signCertificate(
      deviceProfile(deviceAsIssuer, { ...victim, deviceId, dnsNames: [] }),
      victim,
      deviceSigner,
    );

    const second = LocalSigner.generate();
    const secondFacts = facts(second.publicKey);
    const issuer = describeIssuer('issuing', trustDomain, sample.issuingSigner.publicKey);
    const secondIssuing = await signCertificate(
      issuingProfile(issuer, secondFacts),
      secondFacts,
      sample.issuingSigner,
    );
    const belowSecond = await signCertificate(
      deviceProfile(describeIssuer('issuing', trustDomain, second.publicKey), {
        ...victim,
        deviceId,
        dnsNames: [],
      }),
      victim,
      second,
    );

    const { device } = certificates;
    const paths = writeFiles(t, {
      root: certificatesToPem([sample.root.der]),
      throughDevice: certificatesToPem([device.der, sample.issuing.der]),
      belowDevice: certificatesToPem([belowDevice.der]),
      throughSecond: certificatesToPem([secondIssuing.der, sample.issuing.der]),
      belowSecond: certificatesToPem([belowSecond.der]),
    });
    const verify = (untrusted: string, leaf: string) =>
      run('openssl', [
        'verify',
        ...['-attime', nowSeconds, '-CAfile', paths.root, '-untrusted', untrusted, leaf],
      ]);
    const first = await verify(paths.throughDevice, paths.belowDevice);
    assert.notEqual(first.code, 0);
    assert.match(first.output, /invalid CA certificate/);
    const other = await verify(paths.throughSecond, paths.belowSecond);
    assert.notEqual(other.code, 0);
    assert.match(other.output, /path length constraint exceeded/);
  });
});

describe("a daemon's names", () => {
  it('are refused when they are invalid', async () => {
    for (const name of ['*.example', 'a b', 'a,URI:spiffe://b', 'a\0.example', '192.0.2.1', '']) {
      await assert.rejects(sample.daemon([name]), (error) => hasCode(error, 'MESSAGE_INVALID'), name);
    }
    for (const address of ['localhost', 'fe80::1%eth0', '192.0.2.1/24', '']) {
      await assert.rejects(
        sample.daemon([], [address]),
        (error) => hasCode(error, 'MESSAGE_INVALID'),
        address,
      );
    }
  });

  it('are limited in size', async () => {
    const longest = (n: number) =>
      `${String(n).padStart(3, 'n')}.${`${'a'.repeat(62)}.`.repeat(3)}${'b'.repeat(60)}`;
    const names = Array.from({ length: MAX_DAEMON_NAMES }, (_, n) => longest(n));
    assert.equal(names[0]!.length, 253);
    assert.ok((await sample.daemon(names)).der.length < 16 * 1024);
    await assert.rejects(sample.daemon(names, ['::1']), (error) => hasCode(error, 'MESSAGE_INVALID'));
  });
});
