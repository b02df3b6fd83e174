// SPIFFE libraries accept our certificates and our bundle. Applies the rules of go-spiffe and java-spiffe (tests/foreign/svid.go) to
// the certificates of a real daemon, and to certificates that break one rule each.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { certificatesToPem, spiffeBundle } from '@palyra/identity/certificate';
import { RotateRootRequest_Step, rotationSteps } from '@palyra/rpc/admin';
import { x509 } from '../../packages/identity/src/certificate/testing/peculiar.ts';
import { freePort } from '../testing/free-port.ts';
import { buildGo, runGo, skipGo } from '../testing/go-program.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const skip = skipGo;
const program = skip ? '' : buildGo('svid.go');

interface Verdict {
  readonly id?: string;
  readonly sequence?: number;
  readonly refreshHint?: number;
  readonly error?: string;
}

const judge = (t: TestContext, chain: string, bundle: string) =>
  runGo<Verdict>(t, program, { chain, bundle })();

const publish = { host: '127.0.0.1', port: 0 };

async function bundleOf(daemon: TestDaemon): Promise<string> {
  const { address } = daemon.running.listeners.find(({ name }) => name === 'publish')!;
  return (await fetch(`${address}/bundle.json`)).text();
}

const sequenceOf = async (daemon: TestDaemon): Promise<number> =>
  JSON.parse(await bundleOf(daemon)).spiffe_sequence;

test('the certificates of a device and of the daemon are X.509-SVIDs of the published bundle', {
  skip,
}, async (t) => {
  const daemon = await TestDaemon.start(t, { publish });
  const bundle = await bundleOf(daemon);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const own = await daemon.running.identity.issueServerCredential({
    dnsNames: ['gate.example'],
    ipAddresses: ['192.0.2.1', '2001:db8::1'],
  });
  for (const [chain, path] of [
    [paired.certificateChain, `device/${device.identity.id}`],
    [own.certificateChain, `daemon/${daemon.running.daemonId}`],
  ] as const) {
    const verdict = await judge(t, certificatesToPem(chain), bundle);
    assert.equal(verdict?.id, `spiffe://${daemon.running.trustDomain}/${path}`, verdict?.error ?? '');
    assert.equal(verdict?.refreshHint, 300);
    assert.ok(Number.isSafeInteger(verdict?.sequence));
  }
});

const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;
const leafUri = 'spiffe://other.example/device/one';

/** Each entry breaks one rule. */
const broken: Readonly<
  Record<string, readonly [error: RegExp, leaf: Partial<Leaf>, authority?: Partial<Leaf>]>
> = {
  'no URI': [/exactly one URI/, { uris: [] }],
  'two URIs': [/exactly one URI/, { uris: [leafUri, `${leafUri}/two`] }],
  'a URI that is not a SPIFFE ID': [/not a SPIFFE ID/, { uris: ['https://other.example/one'] }],
  'a query': [/not a SPIFFE ID/, { uris: [`${leafUri}?a=b`] }],
  'a port in the trust domain': [/not a trust domain/, { uris: ['spiffe://other.example:1/one'] }],
  'no path': [/has no path/, { uris: ['spiffe://other.example'] }],
  'a slash at the end of the path': [/not a path/, { uris: [`${leafUri}/`] }],
  'an empty segment': [/not a path/, { uris: ['spiffe://other.example//one'] }],
  'a segment `..`': [/not a path/, { uris: ['spiffe://other.example/../one'] }],
  'an escaped path': [/not a path/, { uris: ['spiffe://other.example/%61'] }],
  'a leaf with the CA flag': [/has the CA flag/, { ca: true }],
  'a leaf without digitalSignature': [/no digitalSignature/, { usage: x509.KeyUsageFlags.keyAgreement }],
  'a leaf with keyCertSign': [/keyCertSign or cRLSign/, { usage: digitalSignature | keyCertSign }],
  'a leaf with cRLSign': [/keyCertSign or cRLSign/, { usage: digitalSignature | cRLSign }],
  'an authority without the CA flag': [/no CA flag/, {}, { ca: false }],
  'an authority without keyCertSign': [/no keyCertSign/, {}, { usage: cRLSign }],
  'an authority whose SPIFFE ID has a path': [/not that of the trust domain/, {}, { uris: [leafUri] }],
  'an authority of another trust domain': [/not that of the/, {}, { uris: ['spiffe://elsewhere.example'] }],
};

interface Leaf {
  readonly uris: readonly string[];
  readonly ca: boolean;
  readonly usage: number;
}

async function makeChain(
  leaf: Partial<Leaf>,
  authority: Partial<Leaf>,
): Promise<{ leaf: Uint8Array; root: Uint8Array }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const generate = () => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const [rootKeys, leafKeys] = [await generate(), await generate()];
  const extensions = ({ uris = [], ca = false, usage = 0 }: Partial<Leaf>) => [
    new x509.BasicConstraintsExtension(ca, undefined, true),
    new x509.KeyUsagesExtension(usage, true),
    ...(uris.length > 0
      ? [new x509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: 'url', value })))]
      : []),
  ];
  const common = {
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    signingAlgorithm: algorithm,
  };
  const root = await x509.X509CertificateGenerator.create({
    ...common,
    serialNumber: '01',
    subject: 'CN=root',
    issuer: 'CN=root',
    publicKey: rootKeys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: extensions({
      uris: ['spiffe://other.example'],
      ca: true,
      usage: keyCertSign | cRLSign,
      ...authority,
    }),
  });
  const made = await x509.X509CertificateGenerator.create({
    ...common,
    serialNumber: '02',
    subject: 'CN=leaf',
    issuer: 'CN=root',
    publicKey: leafKeys.publicKey,
    signingKey: rootKeys.privateKey,
    extensions: extensions({ uris: [leafUri], usage: digitalSignature, ...leaf }),
  });
  return { leaf: new Uint8Array(made.rawData), root: new Uint8Array(root.rawData) };
}

test('a chain from another tool passes the rules, and a chain that breaks one of them fails', {
  skip,
}, async (t) => {
  const good = await makeChain({}, {});
  const verdict = await judge(
    t,
    certificatesToPem([good.leaf]),
    JSON.stringify(spiffeBundle([good.root], 1)),
  );
  assert.equal(verdict?.id, leafUri, verdict?.error ?? '');
  for (const [what, [error, leaf, authority = {}]] of Object.entries(broken)) {
    const made = await makeChain(leaf, authority);
    const bundle = JSON.stringify(spiffeBundle([made.root], 1));
    assert.match((await judge(t, certificatesToPem([made.leaf]), bundle))?.error ?? 'taken', error, what);
  }
});

test('the sequence of the bundle grows with every change of the roots and only then', async (t) => {
  const home = temporaryFolder();
  const first = await TestDaemon.start(t, { home, publish });
  const begun = await sequenceOf(first);
  await pair(first, await makeDevice());
  await first.running.tick();
  assert.equal(await sequenceOf(first), begun);
  await first.stop();
  const daemon = await TestDaemon.start(t, { home, publish });
  assert.equal(await sequenceOf(daemon), begun, 'after a restart');
  let before = begun;
  for (const step of ['prepare', 'rollback', 'prepare'] as const) {
    await daemon.admin.rotateRoot({ step: rotationSteps.toWire(step) });
    const now = await sequenceOf(daemon);
    assert.ok(now > before, step);
    assert.equal(Number((await daemon.admin.getAuthority({})).bundleSequence), now);
    before = now;
  }
});

test('after a restore the sequence is larger than any before, even if the clock was set back', async (t) => {
  const clock = new HeldClock();
  const folder = temporaryFolder();
  const home = join(folder, 'home');
  const file = join(folder, 'backup.age');
  const passphrase = 'correct horse battery';
  const ports = { pairing: await freePort(), node: await freePort() };
  const options: TestDaemonOptions = { home, publish, ports, clock };
  const daemon = await TestDaemon.start(t, options);
  const begun = await sequenceOf(daemon);
  await backupHome(home, file, passphrase, { scryptLogN: 10 });
  clock.advance(day / 4);
  await daemon.admin.rotateRoot({ step: RotateRootRequest_Step.PREPARE });
  const last = await sequenceOf(daemon);
  assert.ok(last > begun);
  await daemon.stop();
  clock.jump(-day / 8);
  await restoreHome(home, { file, passphrase, clock });
  const again = await TestDaemon.start(t, options);
  assert.ok((await sequenceOf(again)) > last);
});
