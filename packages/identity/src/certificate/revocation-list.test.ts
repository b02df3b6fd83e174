import assert from 'node:assert/strict';
import test from 'node:test';
import { LocalSigner } from './local-signer.ts';
import { certificatesToPem } from './pem.ts';
import { MAX_LISTED, makeRevocationList } from './revocation-list.ts';
import { run, writeFiles } from './testing/command.ts';
import { deviceId, SampleAuthority } from './testing/sample-authority.ts';
import { TlsKey } from './tls-key.ts';

const toPem = (der: Uint8Array) =>
  `-----BEGIN X509 CRL-----\n${Buffer.from(der)
    .toString('base64')
    .replace(/(.{64})/g, '$1\n')}\n-----END X509 CRL-----\n`;

test('openssl reads the list, and refuses the listed certificate and no other', async (t) => {
  const sample = await SampleAuthority.create(new Date('2026-01-01T00:00:00Z'));
  const [listed, other] = await Promise.all(
    [1, 2].map(() => sample.authority.issueDevice({ deviceId, tlsKey: TlsKey.generate().publicKey })),
  );
  const now = sample.clock.now();
  const crl = await makeRevocationList(sample.issuingSigner, {
    tier: 'issuing',
    trustDomain: sample.authority.trustDomain,
    number: 300,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + 86_400_000),
    revoked: [{ serial: listed!.serial, revokedAt: now }],
  });
  const files = writeFiles(t, {
    'root.pem': certificatesToPem([sample.authority.rootCertificate]),
    'issuing.pem': certificatesToPem([sample.authority.issuingCertificate]),
    'crl.pem': toPem(crl),
    'listed.pem': certificatesToPem([listed!.der]),
    'other.pem': certificatesToPem([other!.der]),
  });
  const text = await run('openssl', ['crl', '-in', files['crl.pem'], '-noout', '-text']);
  assert.match(text.output, /X509v3 CRL Number:\s+300/);
  assert.match(text.output, new RegExp(`Serial Number: ${listed!.serial}`, 'i'));
  const verify = (leaf: string) =>
    run('openssl', [
      ...['verify', '-crl_check', '-attime', String(Math.floor(now.getTime() / 1000))],
      ...[
        '-CAfile',
        files['root.pem'],
        '-untrusted',
        files['issuing.pem'],
        '-CRLfile',
        files['crl.pem'],
        leaf,
      ],
    ]);
  assert.match((await verify(files['listed.pem'])).output, /certificate revoked/);
  assert.equal((await verify(files['other.pem'])).code, 0);
});

test('an empty list and one of thousands can be read', async (t) => {
  const signer = LocalSigner.generate();
  const now = new Date('2026-01-01T00:00:00Z');
  for (const count of [0, 5000]) {
    const revoked = Array.from({ length: count }, (_, at) => ({
      serial: `01${at.toString(16).padStart(30, '0')}`,
      revokedAt: now,
    }));
    const crl = await makeRevocationList(signer, {
      tier: 'issuing',
      trustDomain: 'palyra-test.internal',
      number: 1,
      thisUpdate: now,
      nextUpdate: new Date(now.getTime() + 1000),
      revoked,
    });
    const files = writeFiles(t, { 'crl.pem': toPem(crl) });
    const text = await run('openssl', ['crl', '-in', files['crl.pem'], '-noout', '-text']);
    assert.equal(text.code, 0);
    assert.equal(text.output.match(/Serial Number/g)?.length ?? 0, count);
  }
});

test('more than the limit is refused', async () => {
  const revoked = new Array(MAX_LISTED + 1).fill({ serial: '01'.padEnd(32, '0'), revokedAt: new Date() });
  const facts = {
    tier: 'issuing' as const,
    trustDomain: 'a.internal',
    number: 1,
    thisUpdate: new Date(),
    nextUpdate: new Date(),
    revoked,
  };
  await assert.rejects(makeRevocationList(LocalSigner.generate(), facts), TypeError);
});
