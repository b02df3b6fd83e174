// `palyra --remote`: the operator's commands from a laptop, which is a separate process with its own home.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { answer, failure, makeHome, PalyraProcess, palyra } from '../testing/palyra-process.ts';

interface Site {
  readonly daemon: DaemonProcess;
  /** On the daemon's machine. */
  readonly home: string;
}

async function startDaemon(t: TestContext): Promise<Site> {
  const home = await makeHome(t);
  return { daemon: await DaemonProcess.start(t, { home }), home };
}

/** Pairs a new home, with both sides as processes. @param approve the command on the daemon's machine. */
async function pairHome(t: TestContext, { daemon, home }: Site, name: string, ...approve: string[]) {
  const device = await makeHome(t);
  const { code } = await answer(['pairing', 'code'], { home });
  const pairing = PalyraProcess.start(['pair', daemon.pairingAddress, '--code-stdin', '--name', name], {
    home: device,
    stdin: `${code}\n`,
  });
  await pairing.line(({ event }) => event === 'words');
  const { pairings } = await answer(['pairing', 'list'], { home });
  const { id } = pairings.find((each: { device?: { name: string } }) => each.device?.name === name);
  const approved = await answer(['pairing', 'approve', id, ...approve], { home });
  assert.equal((await pairing.ended).exitCode, 0);
  const deviceId: string = approved.device.id;
  return { home: device, id: deviceId, role: approved.device.role };
}

const remote = (home: string, ...args: string[]) => answer(['--remote', ...args], { home });

test('an operator lists, approves, watches, revokes and uses `why` from a laptop, and the laptop’s id is in the audit', async (t) => {
  const site = await startDaemon(t);
  const laptop = await pairHome(t, site, 'laptop', '--operator');
  assert.equal(laptop.role, 'operator');
  assert.equal((await remote(laptop.home, 'status')).daemon_id, site.daemon.daemonId);

  const watch = PalyraProcess.start(['--remote', 'pairing', 'watch'], { home: laptop.home });
  const { code, pairing_id: pairingId } = await remote(laptop.home, 'pairing', 'code');
  await watch.line(({ id, state }) => id === pairingId && state === 'waiting');
  const sensorHome = await makeHome(t);
  const pairing = PalyraProcess.start(
    ['pair', site.daemon.pairingAddress, '--code-stdin', '--name', 'sensor'],
    { home: sensorHome, stdin: `${code}\n` },
  );
  const { words } = await pairing.line(({ event }) => event === 'words');
  const request = await watch.line(({ id, state }) => id === pairingId && state === 'pending_approval');
  assert.equal(request.device.words, words);
  await remote(laptop.home, 'pairing', 'approve', pairingId);
  assert.equal((await pairing.ended).exitCode, 0);
  await watch.line(({ id, state }) => id === pairingId && state === 'issued');
  await watch.end('SIGINT');

  const { devices } = await remote(laptop.home, 'devices', 'list');
  const sensor = devices.find((each: { name: string }) => each.name === 'sensor');
  assert.equal(sensor.role, 'device');
  await remote(laptop.home, 'devices', 'rename', sensor.id, 'pantry');
  const revoked = await remote(laptop.home, 'devices', 'revoke', sensor.id, '--yes', '--reason', 'broken');
  assert.equal(revoked.state, 'revoked');
  assert.equal((await remote(laptop.home, 'why', sensor.id)).code, 'DEVICE_REVOKED');
  assert.match((await remote(laptop.home, 'ca', 'export')).pem, /BEGIN CERTIFICATE/);
  await remote(laptop.home, 'audit', 'verify');

  const { entries } = await answer(['audit', 'list'], { home: site.home });
  const byLaptop = entries
    .filter((each: { detail: { by?: string } }) => each.detail.by === `device:${laptop.id}`)
    .map((each: { action: string }) => each.action);
  assert.deepEqual(byLaptop, [
    'request.rejected',
    'device.revoked',
    'device.renamed',
    'request.approved',
    'code.minted',
  ]);
});

test('a device is refused without the role, and served with it, in both orders', async (t) => {
  const site = await startDaemon(t);
  const device = await pairHome(t, site, 'laptop');
  assert.equal(device.role, 'device');
  const list = () => palyra(['--remote', 'devices', 'list'], { home: device.home });
  const refused = { code: 'CALLER_NOT_ALLOWED', exitCode: 3 };
  assert.match(await failure(list(), refused), /operator role/);
  await failure(palyra(['devices', 'set-role', device.id, 'operator'], { home: site.home }), {
    code: 'NO_TERMINAL',
    exitCode: 2,
  });
  await answer(['devices', 'set-role', device.id, 'operator', '--yes'], { home: site.home });
  assert.equal((await list()).exitCode, 0);
  const taken = await answer(['devices', 'set-role', device.id, 'device'], { home: site.home });
  assert.equal(taken.role, 'device');
  await failure(list(), refused);
});

test('a command that needs the daemon’s machine says so, and a laptop cannot give a role', async (t) => {
  const site = await startDaemon(t);
  const laptop = await pairHome(t, site, 'laptop', '--operator');
  const usage = { code: 'USAGE', exitCode: 2 };
  for (const line of [
    'daemon',
    'console',
    'backup /tmp/none',
    'restore /tmp/none',
    'secrets rekey',
    'doctor',
    'ca rotate-root status',
    `devices set-role ${laptop.id} operator`,
  ]) {
    const run = palyra(['--remote', ...line.split(' ')], { home: laptop.home });
    assert.match(await failure(run, usage), /only on the daemon's own machine/, line);
  }
  const own = palyra(['--remote', 'node', 'status'], { home: laptop.home });
  assert.match(await failure(own, usage), /leave out --remote/);
  const requested = palyra(['--remote', 'pairing', 'approve', laptop.id, '--operator'], {
    home: laptop.home,
  });
  await failure(requested, { code: 'CALLER_NOT_ALLOWED', exitCode: 3 });
});

test('an operator who revokes their own laptop gets the confirmation, and is then shut out', async (t) => {
  const site = await startDaemon(t);
  const laptop = await pairHome(t, site, 'laptop', '--operator');
  const revoked = await remote(laptop.home, 'devices', 'revoke', laptop.id, '--yes', '--reason', 'sold');
  assert.deepEqual([revoked.id, revoked.state], [laptop.id, 'revoked']);
  await failure(palyra(['--remote', 'status'], { home: laptop.home }), {
    code: 'DEVICE_REVOKED',
    exitCode: 3,
  });
  const shown = await answer(['devices', 'show', laptop.id], { home: site.home });
  assert.deepEqual([shown.state, shown.revocation_reason], ['revoked', 'sold']);
});

test('an unpaired home, another daemon and a wrong address are each named in the error', async (t) => {
  const site = await startDaemon(t);
  const laptop = await pairHome(t, site, 'laptop', '--operator');
  await failure(palyra(['--remote', 'status'], { home: await makeHome(t) }), {
    code: 'NOT_PAIRED',
    exitCode: 4,
  });
  const at = (...flags: string[]) => palyra([...flags, 'status'], { home: laptop.home });
  assert.equal((await at('--remote-address', site.daemon.nodeAddress)).exitCode, 0);
  assert.equal((await at('--remote-daemon', site.daemon.daemonId)).exitCode, 0);
  await failure(at('--remote-daemon', laptop.id), { code: 'NOT_PAIRED', exitCode: 4 });
  await failure(at('--remote-address', '127.0.0.1:1'), { code: 'UNREACHABLE', exitCode: 7 });
  const pairing = await failure(at('--remote-address', site.daemon.pairingAddress), {
    code: 'UNREACHABLE',
    exitCode: 7,
  });
  assert.ok(pairing.includes(`at ${site.daemon.pairingAddress} is not a node listener`), pairing);
  await failure(at('--remote-address', 'no address'), { code: 'USAGE', exitCode: 2 });
});
