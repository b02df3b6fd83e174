// A device's records of a daemon belong to the daemon's root, whatever another daemon claims.

import assert from 'node:assert/strict';
import { hash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isOfSameDaemon, loadEnrollments, storeEnrollment } from '@palyra/identity/device';
import { openDeviceStore } from '../../packages/cli/src/device-store.ts';
import { resolveHome } from '../../packages/cli/src/home.ts';
import type { Invocation } from '../../packages/cli/src/invocation.ts';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { startImpostor } from '../testing/impostor.ts';
import { answer, failure, makeHome, PalyraProcess, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

/** Pairs with the command and an auto-approve code. */
async function pairHome(daemon: TestDaemon, home: string, ...words: string[]) {
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const ended = await palyra(['pair', daemon.pairingAddress, '--code-stdin', ...words], {
    home,
    stdin: `${code}\n`,
  });
  assert.equal(ended.exitCode, 0, `${ended.stdout}${ended.stderr}`);
  return ended.lines.at(-1)!;
}

const rootOf = (daemon: TestDaemon) => daemon.running.identity.rootFingerprint;

async function rootsIn(folder: string): Promise<string[]> {
  const pem = await readFile(join(folder, 'bundle.pem'), 'utf8');
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return certificates.map((each) => hash('sha256', new X509Certificate(each).raw));
}

async function twoDaemons(t: TestContext) {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const impostor = await startImpostor(t, daemon);
  assert.equal(impostor.running.daemonId, daemon.running.daemonId);
  assert.notEqual(rootOf(impostor), rootOf(daemon));
  return { daemon, impostor, ports };
}

test('an agent stays with its daemon when the device is paired with another one that claims its id', async (t) => {
  const { daemon, impostor, ports } = await twoDaemons(t);
  const home = await makeHome(t);
  const out = join(home, 'out');
  const { device_id: deviceId } = await pairHome(daemon, home);
  const agent = PalyraProcess.start(['node', 'run', '--out', out, '--on-renew', 'echo not JSON'], { home });
  t.after(async () => void (await agent.end('SIGKILL')));
  await agent.line(({ event }) => event === 'hook_done');
  await agent.line(({ event }) => event === 'connected');
  const second = await failure(palyra(['node', 'run'], { home }), { code: 'HOME_IN_USE', exitCode: 4 });
  assert.match(second, new RegExp(`process id ${agent.pid}, since `));
  assert.deepEqual(
    daemon.events.filter(({ type }) => type === 'clone_suspected'),
    [],
  );
  await pairHome(impostor, home);

  // It reads the store, and then reconnects to its daemon.
  const connections = () => agent.lines.filter(({ event }) => event === 'connected').length;
  const before = connections();
  await daemon.stop();
  const again = await TestDaemon.start(t, { ports, home: daemon.home });
  await agent.line(({ event }) => event === 'connected' && connections() > before);
  const output = await again.admin.executeCapability({
    deviceId,
    capability: 'echo',
    input: new TextEncoder().encode('"mine"'),
  });
  assert.equal(new TextDecoder().decode(output.output), '"mine"');
  await expectCode(
    impostor.admin.executeCapability({ deviceId, capability: 'echo', input: new TextEncoder().encode('1') }),
    'DEVICE_NOT_CONNECTED',
  );
  assert.deepEqual(await rootsIn(out), [rootOf(daemon)]);
});

test('records of two daemons that claim one id coexist, and the person names one by its root', async (t) => {
  const { daemon, impostor } = await twoDaemons(t);
  const home = await makeHome(t);
  await pairHome(daemon, home);
  await pairHome(impostor, home);
  const { daemonId } = daemon.running;
  for (const reference of [daemonId, daemonId.slice(-6)]) {
    const run = palyra(['node', 'status', '--daemon', reference], { home });
    const message = await failure(run, { code: 'USAGE', exitCode: 2 });
    assert.ok(message.includes(rootOf(daemon)), message);
    assert.ok(message.includes(rootOf(impostor)), message);
  }
  const unnamed = await failure(palyra(['node', 'status'], { home }), { code: 'USAGE', exitCode: 2 });
  assert.ok(unnamed.includes(rootOf(daemon)) && unnamed.includes(rootOf(impostor)), unnamed);
  for (const each of [daemon, impostor]) {
    const { address } = await answer(['node', 'status', '--daemon', rootOf(each)], { home });
    assert.equal(address, each.nodeAddress);
  }
  for (const command of [['renew'], ['renew', '--recover']]) {
    await answer([...command, '--daemon', rootOf(daemon)], { home });
  }
  await failure(palyra(['node', 'forget', daemonId, '--yes'], { home }), { code: 'USAGE', exitCode: 2 });
  await answer(['node', 'forget', rootOf(impostor), '--yes'], { home });
  assert.equal((await answer(['node', 'status'], { home })).address, daemon.nodeAddress);
  await failure(palyra(['node', 'status', '--daemon', rootOf(impostor)], { home }), {
    code: 'NOT_PAIRED',
    exitCode: 4,
  });
});

test('of two daemons the first stays the default until it is changed, and a trust domain names a daemon', async (t) => {
  const [home, office] = [
    await TestDaemon.start(t, { trustDomain: 'home.example.internal' }),
    await TestDaemon.start(t, { trustDomain: 'office' }),
  ];
  const folder = await makeHome(t);
  await pairHome(home, folder);
  await pairHome(office, folder);
  const inWords = (...args: string[]) => runRecorded({ args: [...args, '--home', folder] });
  const reached = async (...words: string[]) =>
    /trust domain +(\S+)/.exec((await inWords('node', 'status', ...words)).stdout)?.[1];
  assert.equal(await reached(), 'home.example.internal');
  assert.equal(await reached('--daemon', 'Office'), 'office');
  assert.equal((await inWords('renew')).exitCode, 0);
  assert.equal(await reached(), 'home.example.internal', 'a renewal does not change the default');
  assert.match((await inWords('node', 'use', 'office')).stdout, /default .* of office/);
  assert.equal(await reached(), 'office');
  assert.equal((await inWords('node', 'use', 'elsewhere.example')).exitCode, 2);
  assert.equal((await inWords('node', 'forget', 'office', '--yes')).exitCode, 0);
  assert.equal(await reached(), 'home.example.internal', 'the only remaining daemon');
  // A forgotten daemon that is paired again is the second one.
  await pairHome(office, folder);
  assert.equal(await reached(), 'home.example.internal');
});

test('a trust domain that equals the end of another daemon’s id names neither daemon', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const record = await pair(daemon, device);
  const home = await makeHome(t);
  await pairHome(daemon, home);
  const store = await openDeviceStore(resolveHome(home, { userHome: home, program: 'palyra' } as Invocation));
  const end = record.daemonId.slice(-6);
  await storeEnrollment(store, {
    ...record,
    root: 'ab'.repeat(32),
    daemonId: device.identity.id,
    trustDomain: end.toLowerCase(),
  });
  await store.close();
  const run = palyra(['node', 'status', '--daemon', end], { home });
  assert.match(await failure(run, { code: 'USAGE', exitCode: 2 }), /2 daemons that this device knows/);
});

test('pairing with another root under a known id, trust domain and address does not change the record', async (t) => {
  const { daemon, impostor } = await twoDaemons(t);
  const device = await makeDevice();
  const record = await pair(daemon, device);
  const other = await pair(impostor, device);
  assert.deepEqual(
    { id: other.daemonId, domain: other.trustDomain },
    { id: record.daemonId, domain: record.trustDomain },
  );
  await storeEnrollment(device.secrets, {
    ...other,
    address: record.address,
    nodeAddress: record.nodeAddress,
  });
  const stored = await loadEnrollments(device.secrets);
  assert.deepEqual(new Set(stored.map((each) => each.root)), new Set([record.root, other.root]));
  assert.deepEqual(
    stored.find((each) => each.root === record.root),
    record,
  );
  await (await daemon.node(record)).status({});
});

test('pairing again with the same root, or with a root that the record learnt in a rotation, replaces the record', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await pair(daemon, device);
  const second = await pair(daemon, device);
  assert.deepEqual(await loadEnrollments(device.secrets), [second]);
  assert.equal(first.root, second.root);
  const root = Uint8Array.of(1, 2, 3);
  const knowing = { ...second, trustBundle: [...second.trustBundle, root] };
  const next = { ...second, root: hash('sha256', root), trustBundle: [root] };
  assert.ok(isOfSameDaemon(knowing, next));
  assert.equal(isOfSameDaemon(next, knowing), false, 'the new record does not vouch for the old one');
  assert.equal(isOfSameDaemon({ ...knowing, daemonId: device.identity.id }, next), false);
  await storeEnrollment(device.secrets, knowing);
  await storeEnrollment(device.secrets, next);
  assert.deepEqual(await loadEnrollments(device.secrets), [next]);
});

test('a record stored under the name of another root is rejected', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { root } = await pair(daemon, device);
  const name = `enrollments/${root}/paired`;
  await device.secrets.write(`enrollments/${'00'.repeat(32)}/paired`, await device.secrets.read(name));
  await expectCode(loadEnrollments(device.secrets), 'SECRET_CORRUPT');
});
