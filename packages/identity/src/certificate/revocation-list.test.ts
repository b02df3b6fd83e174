import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import test, { type TestContext } from 'node:test';
import { variants } from '../../../../tests/testing/soak.ts';
import { hasCode } from '../errors.ts';
import { LocalSigner } from './local-signer.ts';
import { certificatesToPem, revocationListsPemLength, revocationListsToPem } from './pem.ts';
import { MAX_LISTED, makeRevocationList, type RevokedCertificate } from './revocation-list.ts';
import { run, writeFiles } from './testing/command.ts';
import { deviceId, SampleAuthority } from './testing/sample-authority.ts';
import { TlsKey } from './tls-key.ts';

const now = new Date('2026-01-01T00:00:00Z');
const pageEntries = 500;

/** The entries, as the registry returns them. */
async function* pagesOf(revoked: Iterable<RevokedCertificate>): AsyncIterable<RevokedCertificate[]> {
  let page: RevokedCertificate[] = [];
  for (const each of revoked) {
    if (page.push(each) < pageEntries) continue;
    yield page;
    page = [];
  }
  yield page;
}

function* entries(count: number): Iterable<RevokedCertificate> {
  for (let at = 0; at < count; at += 1)
    yield { serial: `01${at.toString(16).padStart(30, '0')}`, revokedAt: now };
}

const factsOf = (revoked: Iterable<RevokedCertificate>) => ({
  tier: 'issuing' as const,
  trustDomain: 'palyra-test.internal',
  number: 300,
  thisUpdate: now,
  nextUpdate: new Date(now.getTime() + 86_400_000),
  revoked: pagesOf(revoked),
});

/** The contents, as openssl reads them. */
async function read(t: TestContext, der: readonly Uint8Array[]): Promise<string> {
  const files = writeFiles(t, { 'crl.der': '' });
  await writeFile(files['crl.der'], der);
  const text = await run('openssl', ['crl', '-inform', 'DER', '-in', files['crl.der'], '-noout', '-text']);
  assert.equal(text.code, 0, text.output);
  return text.output;
}

test('openssl reads the list, and refuses only the listed certificate', async (t) => {
  const sample = await SampleAuthority.create(now);
  const [listed, other] = await Promise.all(
    [1, 2].map(() => sample.authority.issueDevice({ deviceId, tlsKey: TlsKey.generate().publicKey })),
  );
  // Among 100,000 others, which is more than a function call can have arguments.
  const revoked = [...entries(100_000), { serial: listed!.serial, revokedAt: sample.clock.now() }];
  const facts = { ...factsOf(revoked), trustDomain: sample.authority.trustDomain };
  const der = await makeRevocationList(sample.issuingSigner, facts);
  const pem = [...revocationListsToPem([{ der }])].join('');
  assert.equal(pem.length, revocationListsPemLength([{ der }]));
  const files = writeFiles(t, {
    'root.pem': certificatesToPem([sample.authority.rootCertificate]),
    'issuing.pem': certificatesToPem([sample.authority.issuingCertificate]),
    'crl.pem': pem,
    'listed.pem': certificatesToPem([listed!.der]),
    'other.pem': certificatesToPem([other!.der]),
  });
  const text = await read(t, der);
  assert.match(text, /X509v3 CRL Number:\s+300/);
  assert.match(text, new RegExp(`Serial Number: ${listed!.serial}`, 'i'));
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

/** Around a page, and around the numbers of bytes that the lengths in DER take. */
const counts = variants([0, 1, 499, 500, 501, 65_000, 200_000], (count) => count < 200_000);
for (const count of counts) {
  test(`a list of ${count} entries contains all of them`, async (t) => {
    const text = await read(t, await makeRevocationList(LocalSigner.generate(), factsOf(entries(count))));
    assert.equal(text.match(/Serial Number/g)?.length ?? 0, count);
  });
}

test('other work can run after every page and every signed part', async () => {
  const pages = 100;
  let turns = 0;
  let over = false;
  const count = () => {
    turns += 1;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  await makeRevocationList(LocalSigner.generate(), factsOf(entries(pages * pageEntries)));
  over = true;
  assert.ok(turns >= 2 * pages, `${turns} turns`);
});

test('no entry is dated later than the list', async (t) => {
  const revokedAt = new Date(now.getTime() + 3_600_000);
  const serial = '01'.padEnd(32, '0');
  const text = await read(
    t,
    await makeRevocationList(LocalSigner.generate(), factsOf([{ serial, revokedAt }])),
  );
  assert.match(text, /Last Update: Jan {2}1 00:00:00 2026 GMT/);
  assert.match(text, /Revocation Date: Jan {2}1 00:00:00 2026 GMT/);
});

test('more entries than the limit are refused, and reading stops there', async () => {
  const page = new Array(100_000).fill({ serial: '01'.padEnd(32, '0'), revokedAt: now });
  let read = 0;
  async function* endless() {
    for (;;) {
      read += page.length;
      // This test does not need the entries before it to be encoded.
      yield read <= MAX_LISTED ? ({ length: page.length, map: () => [] } as unknown as typeof page) : page;
    }
  }
  await assert.rejects(
    makeRevocationList(LocalSigner.generate(), { ...factsOf([]), revoked: endless() }),
    (error) => hasCode(error, 'MESSAGE_TOO_LARGE'),
  );
  assert.equal(read, MAX_LISTED + page.length);
});

test('the parts of a list, of any size, join to the PEM of the whole list', () => {
  const whole = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251));
  for (const length of [0, 1, 47, 48, 49, 95, 96, 1000]) {
    const bytes = whole.subarray(0, length);
    const wanted = bytes.toString('base64').replace(/.{1,64}/g, '$&\n');
    for (const size of [1, 7, 48, 100, 1000]) {
      const der = [];
      for (let at = 0; at < length; at += size) der.push(bytes.subarray(at, at + size));
      const pem = [...revocationListsToPem([{ der }, { der }])].join('');
      const one = `-----BEGIN X509 CRL-----\n${wanted}-----END X509 CRL-----\n`;
      assert.equal(pem, one + one);
      assert.equal(revocationListsPemLength([{ der }, { der }]), pem.length);
    }
  }
});
