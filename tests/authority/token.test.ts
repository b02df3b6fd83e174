// A daemon in a separate process, with its CA key in a PKCS #11 token (SoftHSM 2), through its whole life.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
import { certificatesToPem, readPeerCertificate } from '@palyra/identity/certificate';
import {
  awaitPairing,
  type PairedEnrollment,
  type PendingEnrollment,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { fromConnectError } from '@palyra/rpc';
import { ListenerName, PairingState } from '@palyra/rpc/admin';
import { missingForTokens, SoftToken } from '../../packages/signer-pkcs11/src/testing/soft-token.ts';
import { missingCompiler, TroubledModule } from '../../packages/signer-pkcs11/src/testing/troubled-module.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import {
  answer,
  configure,
  failure,
  makeHome,
  type PalyraOptions,
  palyra,
} from '../testing/palyra-process.ts';
import { makeDevice, type SampleDevice } from '../testing/sample-device.ts';
import { longestWaitMs, until } from '../testing/until.ts';
import { clockOffByDays, noWrongClock } from '../testing/wrong-clock.ts';

const skip = missingForTokens();

async function homeWithToken(t: TestContext): Promise<{ token: SoftToken; options: PalyraOptions }> {
  const token = await SoftToken.make(t);
  const home = await makeHome(t);
  await configure(home, { caKey: token.caKey });
  return { token, options: { home, env: token.env } };
}

/** Pairs up to the operator's decision. */
async function asked(daemon: DaemonProcess, device: SampleDevice): Promise<PendingEnrollment> {
  const code = parsePairingCode((await (await daemon.admin()).mintCode({})).code);
  return requestPairing(device, await daemon.peer(), code, daemon.pairingAddress);
}

/** Pairs up to the operator's approval. */
async function approved(daemon: DaemonProcess, device: SampleDevice): Promise<PendingEnrollment> {
  const pending = await asked(daemon, device);
  await (await daemon.admin()).approvePairing({ id: pending.requestId });
  return pending;
}

async function pair(daemon: DaemonProcess, device: SampleDevice): Promise<PairedEnrollment> {
  const asked = await approved(daemon, device);
  return awaitPairing(device, await daemon.peer(asked), asked, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
}

async function renew(daemon: DaemonProcess, device: SampleDevice, enrollment: PairedEnrollment) {
  const node = await daemon.node(enrollment);
  return renewCertificate(device, enrollment, (proof) => node.renew(proof));
}

/** Verifies the whole chain with another program, up to the roots from `palyra ca export`. */
async function opensslVerify(
  t: TestContext,
  { home }: PalyraOptions,
  { certificateChain: [leaf, ...issuers] }: PairedEnrollment,
): Promise<void> {
  const folder = join(home, 'verify');
  await mkdir(folder, { recursive: true });
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = (name: string) => join(folder, name);
  await writeFile(file('leaf.pem'), certificatesToPem([leaf!]));
  await writeFile(file('issuers.pem'), certificatesToPem(issuers));
  const roots = await answer(['ca', 'export'], { home });
  await writeFile(file('roots.pem'), roots.pem);
  const words = ['-x509_strict', '-CAfile', 'roots.pem', '-untrusted', 'issuers.pem', 'leaf.pem'];
  assert.equal(
    execFileSync('openssl', ['verify', ...words], { cwd: folder, encoding: 'utf8' }),
    'leaf.pem: OK\n',
  );
}

test('a CA in a token: first start, pairing, renewal, a killed daemon, a new root', { skip }, async (t) => {
  const { token, options } = await homeWithToken(t);
  const first = await DaemonProcess.start(t, options);
  const device = await makeDevice();
  const paired = await pair(first, device);
  await (await first.node(paired)).status({});
  await opensslVerify(t, options, paired);

  const shown = await answer(['ca', 'show'], options);
  assert.deepEqual(
    { ...shown.keys, serial: typeof shown.keys.serial },
    { provider: 'pkcs11', token: token.label, serial: 'string' },
  );
  for (const { id, key } of shown.authorities) assert.equal(key, `palyra-ca-${id.toLowerCase()}`);

  const renewed = await renew(first, device, paired);
  await (await first.node(renewed)).status({});
  await first.kill();

  const second = await DaemonProcess.start(t, options);
  assert.equal(second.rootFingerprint, first.rootFingerprint);
  await (await second.node({ ...renewed, address: second.nodeAddress })).status({});

  await answer(['ca', 'rotate-root', 'prepare'], options);
  // The device learns of the new root.
  const ready = await renew(second, device, { ...renewed, address: second.nodeAddress });
  await (await second.node(ready)).status({});
  await answer(['ca', 'rotate-root', 'activate'], options);
  const later = await renew(second, device, ready);
  await opensslVerify(t, options, later);
  assert.notDeepEqual(later.certificateChain[1], ready.certificateChain[1], 'by another issuing CA');
  await (await second.node(later)).status({});
  await answer(['ca', 'rotate-root', 'finish'], options);
  await opensslVerify(t, options, later);
  const { lists } = await answer(['ca', 'crl'], options);
  const before = shown.authorities.find(({ tier }: { tier: string }) => tier === 'issuing');
  const listed = lists.map((each: { issuer_id: string }) => each.issuer_id);
  assert.ok(listed.includes(before.id), 'the key of the previous issuing CA is still there');
  const after = await answer(['ca', 'show'], options);
  assert.equal(after.authorities.length, 4);
  assert.equal((await palyra(['doctor'], options)).exitCode, 0);
  await second.stop();

  const secrets = await FilesystemSecretStore.open({
    path: join(options.home, 'daemon', 'secrets'),
    masterKey: await masterKeyFromFile({ path: join(options.home, 'daemon', 'master.key') }),
  });
  assert.deepEqual(await secrets.list('authorities'), []);
  await secrets.close();
});

test('the successor of an expiring issuing CA has another key of the token', {
  skip: skip || noWrongClock,
}, async (t) => {
  const { options } = await homeWithToken(t);
  await (await DaemonProcess.start(t, options)).stop();
  const later = { ...options, env: { ...options.env, ...clockOffByDays(91) } };
  const daemon = await DaemonProcess.start(t, later);
  const { authorities } = await answer(['ca', 'show'], later);
  const issuing = authorities.filter(({ tier }: { tier: string }) => tier === 'issuing');
  assert.deepEqual(issuing.map(({ state }: { state: string }) => state).sort(), ['active', 'trusted']);
  assert.notEqual(issuing[0].key, issuing[1].key);
  await daemon.stop();
});

test('a running daemon without its token signs and stores nothing, and resumes when the token returns', {
  skip,
}, async (t) => {
  const { token, options } = await homeWithToken(t);
  await configure(options.home, { caKey: token.caKey, metrics: { port: 0 } });
  const daemon = await DaemonProcess.start(t, options);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const node = await daemon.node(paired);
  await node.status({});
  const admin = await daemon.admin();
  const [decided, undecided] = [await makeDevice(), await makeDevice()];
  const [kept, waiting] = [await approved(daemon, decided), await asked(daemon, undecided)];
  const { problems, listeners } = await admin.getStatus({});
  assert.deepEqual(problems, []);
  const metrics = listeners.find(({ name }) => name === ListenerName.METRICS)!.address;
  const keySigns = async () => /^palyra_ca_key_signs (\d)$/m.exec(await (await fetch(metrics)).text())?.[1];
  assert.equal(await keySigns(), '1');
  const stored = async () => ({
    device: (await admin.getDevice({ id: device.identity.id })).certificates.map(({ serial }) => serial),
    audit: (await admin.listAudit({ limit: 1 })).entries[0]?.seq,
  });
  const before = await stored();

  await token.unplug();
  const error = await expectCode(renew(daemon, device, paired), 'SIGNER_UNAVAILABLE');
  assert.doesNotMatch(error.message, new RegExp(token.label), 'a device is told the code alone');
  assert.deepEqual(await stored(), before);
  await node.status({});
  const signal = AbortSignal.timeout(longestWaitMs);
  await expectCode(awaitPairing(decided, await daemon.peer(kept), kept, { signal }), 'SIGNER_UNAVAILABLE');

  const isAway = new RegExp(`^The token "${token.label}" .*[Pp]lug`);
  const [problem] = (await answer(['status'], options)).problems;
  assert.deepEqual({ ...problem, message: '' }, { part: 'ca key', code: 'SIGNER_UNAVAILABLE', message: '' });
  assert.match(problem.message, isAway);
  assert.equal(await keySigns(), '0');
  const examined = await palyra(['doctor'], options);
  const findings: { check: string; verdict: string; message: string }[] = examined.lines[0]!.findings;
  const finding = findings.find(({ check }) => check === 'ca key');
  assert.equal(finding?.verdict, 'problem');
  assert.match(finding.message, /does not start: .* plugged in/);
  const approve = ['pairing', 'approve', waiting.requestId];
  const said = await failure(palyra(approve, options), { code: 'SIGNER_UNAVAILABLE', exitCode: 6 });
  assert.match(said, isAway);
  assert.equal((await admin.getPairing({ id: waiting.requestId })).state, PairingState.PENDING_APPROVAL);
  assert.deepEqual(await stored(), before);

  await token.plugIn();
  const renewed = await untilBack(() => renewCertificate(device, paired, (proof) => node.renew(proof)));
  await (await daemon.node(renewed)).status({});
  await answer(approve, options);
  // Earlier decisions were kept too.
  for (const [each, pending] of [
    [decided, kept],
    [undecided, waiting],
  ] as const) {
    const collected = await awaitPairing(each, await daemon.peer(pending), pending, { signal });
    await (await daemon.node(collected)).status({});
  }
  assert.deepEqual((await admin.getStatus({})).problems, []);
  assert.equal(await keySigns(), '1');
  assert.equal((await admin.verifyAudit({})).ok, true);
  await daemon.stop();
});

test('a home works with its own token only: every other combination is refused with its reason', {
  skip,
}, async (t) => {
  const { token, options } = await homeWithToken(t);
  await (await DaemonProcess.start(t, options)).stop();
  const other = await SoftToken.make(t, undefined, token);
  const start = async (
    config: object,
    code: 'SIGNER_MISMATCH' | 'SIGNER_UNAVAILABLE' | 'SIGNER_PIN_WRONG' | 'STORE_PERMISSIONS',
    changes: Partial<PalyraOptions> = {},
  ) => {
    await configure(options.home, config);
    return failure(palyra(['daemon'], { ...options, ...changes }), { code, exitCode: 6 });
  };
  assert.match(await start({}, 'SIGNER_MISMATCH'), new RegExp(`in the token "${token.label}"`));
  const examined = await palyra(['doctor'], options);
  assert.equal(examined.exitCode, 1);
  const problems = examined.lines[0]!.findings.filter(
    ({ verdict }: { verdict: string }) => verdict === 'problem',
  );
  assert.deepEqual(
    problems.map(({ check }: { check: string }) => check),
    ['ca key'],
  );
  assert.match(problems[0].message, /Name it in the configuration: caKey/);
  assert.match(await start({ caKey: other.caKey }, 'SIGNER_MISMATCH'), /is a different one/);
  await start({ caKey: { ...token.caKey, token: 'nowhere' } }, 'SIGNER_UNAVAILABLE');
  await start({ caKey: { ...token.caKey, module: token.pinFile } }, 'SIGNER_UNAVAILABLE');
  const withoutLibrary = `data:text/javascript,${encodeURIComponent(hidesLibrary)}`;
  assert.match(
    await start({ caKey: token.caKey }, 'SIGNER_UNAVAILABLE', {
      env: { ...options.env, NODE_OPTIONS: `--import=${withoutLibrary}` },
    }),
    /apt-get install build-essential python3/,
  );

  const namesake = await SoftToken.make(t, token.label);
  await namesake.writePin('000000');
  assert.match(
    await start({ caKey: namesake.caKey }, 'SIGNER_MISMATCH', { env: namesake.env }),
    /did not get the PIN/,
  );
  // The token was not asked, so nothing prevents the next start.
  await configure(options.home, { caKey: token.caKey });
  await (await DaemonProcess.start(t, options)).stop();

  await token.writePin('000000');
  const wrong = await start({ caKey: token.caKey }, 'SIGNER_PIN_WRONG');
  assert.doesNotMatch(wrong, /000000/);
  await token.writePin(token.pin);
  // A service manager restarts it repeatedly, and the token is not asked.
  assert.equal(await start({ caKey: token.caKey }, 'SIGNER_PIN_WRONG'), wrong);
  await rm(/run: rm (\S+)$/.exec(wrong)![1]!);
  await (await DaemonProcess.start(t, options)).stop();

  const plain = { ...options, home: await makeHome(t) };
  await (await DaemonProcess.start(t, plain)).stop();
  await configure(plain.home, { caKey: token.caKey });
  const reverse = await failure(palyra(['daemon'], plain), { code: 'SIGNER_MISMATCH', exitCode: 6 });
  assert.match(reverse, /take caKey out/);
});

test('--check before a first start tries the PIN once, and leaves no trace when the token accepts it', {
  skip,
}, async (t) => {
  const { token, options } = await homeWithToken(t);
  const look = async () => {
    const checked = await palyra(['daemon', '--check'], options);
    const findings: { check: string; verdict: string; message: string }[] = checked.lines[0]!.findings;
    const { verdict, message } = findings.find(({ check }) => check === 'ca key')!;
    assert.equal(checked.exitCode, verdict === 'ok' ? 0 : 1);
    return message;
  };
  assert.match(await look(), /accepts the PIN/);
  assert.deepEqual(await readdir(options.home, { recursive: true }), ['daemon', 'daemon/config.json']);

  await token.writePin('000000');
  const refused = await look();
  assert.match(refused, /refused the PIN/);
  assert.doesNotMatch(refused, /000000/);
  await token.writePin(token.pin);
  assert.match(await look(), /refused the PIN/);
  const start = await failure(palyra(['daemon'], options), { code: 'SIGNER_PIN_WRONG', exitCode: 6 });
  const [, marker] = /run: rm (\S+)$/.exec(start)!;
  await rm(marker!);
  assert.match(await look(), /accepts the PIN/);
  await (await DaemonProcess.start(t, options)).stop();
});

test('a backup of a CA in a token says that it has no CA key, and is restored where the token is', {
  skip,
}, async (t) => {
  const { token, options } = await homeWithToken(t);
  const daemon = await DaemonProcess.start(t, options);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  const passphraseFile = join(token.folder, 'passphrase');
  await writeFile(passphraseFile, 'correct horse battery', { mode: 0o600 });
  const file = join(token.folder, 'backup.age');
  const passphrase = ['--passphrase-file', passphraseFile];
  assert.equal((await answer(['backup', file, ...passphrase], options)).ca_keys, 'pkcs11');
  await daemon.stop();

  const restored = { ...options, home: await makeHome(t) };
  const restore = ['restore', file, '--none-revoked', ...passphrase];
  await token.unplug();
  const before = await readFile(join(restored.home, 'daemon', 'config.json'), 'utf8');
  await failure(palyra(restore, restored), { code: 'SIGNER_UNAVAILABLE', exitCode: 6 });
  assert.equal(await readFile(join(restored.home, 'daemon', 'config.json'), 'utf8'), before);
  await token.plugIn();
  await answer(restore, restored);
  const again = await DaemonProcess.start(t, restored);
  assert.equal(again.rootFingerprint, daemon.rootFingerprint);
  const renewed = await renew(again, device, { ...paired, address: again.nodeAddress });
  assert.equal(readPeerCertificate(renewed.certificateChain[0]!).spiffeId.id, device.identity.id);
  await again.stop();
});

test('a token that hangs stops no call that needs no signature, and does not keep the daemon from stopping', {
  skip: skip || missingCompiler,
}, async (t) => {
  const { token, options: plain } = await homeWithToken(t);
  const module = new TroubledModule(token.folder);
  const options = { ...plain, env: { ...plain.env, ...module.env } };
  await configure(options.home, {
    caKey: { ...token.caKey, module: module.path },
    limits: { stopGraceMs: 500 },
  });
  const daemon = await DaemonProcess.start(t, options);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const node = await daemon.node(paired);
  module.be({ C_SignInit: 'hang' });
  const renewal = assert.rejects(renewCertificate(device, paired, (proof) => node.renew(proof)));
  for (let call = 0; call < 10; call += 1) await node.status({});
  await daemon.stop();
  await renewal;
});

/** The daemon searches for the token again only after a pause. */
async function untilBack<T>(attempt: () => Promise<T>): Promise<T> {
  const { answer } = await until('the token', async () => {
    try {
      return { answer: await attempt() };
    } catch (error) {
      if (fromConnectError(error).code !== 'SIGNER_UNAVAILABLE') throw error;
      return undefined;
    }
  });
  return answer;
}

const hidesLibrary = `
import { registerHooks } from 'node:module';
registerHooks({
  resolve(name, context, next) {
    if (name === 'pkcs11js') throw new Error('not installed');
    return next(name, context);
  },
});
`;
