// Clocks that are a day off, changed while the daemon runs or before it starts, and on the device. No peer gets in because of it,
// refused peers learn that a clock is wrong, and everything works again once the clock is right.

import assert from 'node:assert/strict';
import { before, type TestContext, test } from 'node:test';
import { examineHome } from '@palyra/daemon/home';
import { requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { fileScope } from '../testing/file-scope.ts';
import { freePort } from '../testing/free-port.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import {
  answer,
  configure,
  failure,
  makeHome,
  PalyraProcess,
  palyra,
  type Scope,
} from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request } from '../testing/sample-device.ts';
import { clockOffByDays, noWrongClock } from '../testing/wrong-clock.ts';

const clockSkew = { code: 'CLOCK_SKEW', exitCode: 3 };
const bothTimes = /This device's clock says .*, the daemon's says .*correct the wrong one/;
const notValidNow = /The daemon's certificate is not valid at this device's time, .*Set the clock right/;

/** A stopped daemon that can restart on its ports, and a paired device. Both used the right clock. */
let homes: Awaited<ReturnType<typeof pairedHomes>>;

const file = fileScope();
before(async () => {
  if (!noWrongClock) homes = await pairedHomes(file);
});

test("the daemon's clock is set back a day and right again", async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const paired = await pair(daemon, await makeDevice());
  const connection = await daemon.node(paired);
  await connection.status({});
  const asking = await makeDevice();
  const pending = await request(daemon, asking);

  clock.advance(-day);
  const error = await expectCode(connection.status({}), 'CERTIFICATE_NOT_YET_VALID');
  assert.match(error.message, /daemon's clock is behind.*Compare the clocks/);
  await expectCode((await daemon.node(paired)).status({}), 'CERTIFICATE_NOT_YET_VALID');
  await refusedForItsClock(daemon);

  clock.advance(day);
  await (await daemon.node(paired)).status({});
  // The certificate looked like one from a clock that was ahead.
  await expectCode(daemon.admin.approvePairing({ id: pending.requestId }), 'PAIRING_EXPIRED');
  const anew = await request(daemon, asking);
  await daemon.admin.approvePairing({ id: anew.requestId });
  await (await daemon.node(await collect(daemon, asking, anew))).status({});
  await checkAudit(daemon);
});

test("the daemon's clock is set forward a day and right again", async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const paired = await pair(daemon, await makeDevice());
  await (await daemon.node(paired)).status({});
  const asking = await makeDevice();
  const pending = await request(daemon, asking);
  const { code } = await daemon.admin.mintCode({});

  clock.advance(day);
  await expectCode((await daemon.node(paired)).status({}), 'CERTIFICATE_EXPIRED');
  const late = await makeDevice();
  await expectCode(
    requestPairing(late, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  await expectCode(daemon.admin.approvePairing({ id: pending.requestId }), 'PAIRING_EXPIRED');
  await refusedForItsClock(daemon);

  clock.advance(-day);
  await (await daemon.node(paired)).status({});
  // Expired objects stay expired.
  await expectCode(collect(daemon, asking, pending), 'PAIRING_EXPIRED');
  await (await daemon.node(await pair(daemon, asking))).status({});
  await checkAudit(daemon);
});

test("the daemon's clock is two months ahead for 18 seconds", async (t) => {
  const clock = new HeldClock();
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { clock, ports });
  const paired = await pair(daemon, await makeDevice());
  await (await daemon.node(paired)).status({});
  const { authorities } = await daemon.admin.getAuthority({});

  clock.jump(61 * day);
  await daemon.running.tick();
  clock.advance(18_000);
  clock.jump(-61 * day);
  await daemon.running.tick();
  assert.deepEqual((await daemon.admin.getAuthority({})).authorities, authorities);
  await (await daemon.node(paired)).status({});
  await daemon.stop();

  const again = await TestDaemon.start(t, { clock, ports, home: daemon.home });
  await (await again.node(paired)).status({});
  await (await again.node(await pair(again, await makeDevice()))).status({});
  await checkAudit(again);
});

test('the daemon refuses to start with its clock a day back, and starts once the clock is right', {
  skip: noWrongClock,
}, async (t) => {
  const wrong = palyra(['daemon'], { home: homes.home, env: clockOffByDays(-1) });
  const message = await failure(wrong, { code: 'CERTIFICATE_NOT_YET_VALID', exitCode: 3 });
  assert.match(message, /clock is before the start of its authority, .*set the clock/);
  await (await startsAsBefore(t)).stop();
});

test('the daemon starts with its clock a day ahead, and then right', { skip: noWrongClock }, async (t) => {
  const { home, deviceHome } = homes;
  const wrong = await DaemonProcess.start(t, { home, env: clockOffByDays(1) });
  const call = palyra(['node', 'status'], { home: deviceHome });
  assert.match(await failure(call, clockSkew), notValidNow);
  assert.match(await pairInVain(wrong, await makeHome(t)), bothTimes);
  await wrong.stop();
  await (await startsAsBefore(t)).stop();
});

test('after a first start years ahead, one command states its cost and repairs the home', {
  skip: noWrongClock,
}, async (t) => {
  const home = await makeHome(t);
  await configure(home, {
    pairing: { host: '127.0.0.1', port: 0 },
    node: { host: '127.0.0.1', port: 0 },
  });
  const ahead = await DaemonProcess.start(t, { home, env: clockOffByDays(5 * 365) });
  await ahead.stop();
  const refusal = { code: 'CERTIFICATE_NOT_YET_VALID', exitCode: 3 };
  assert.match(await failure(palyra(['daemon'], { home }), refusal), /palyra ca set-aside/);
  const problems = (await examineHome(home, new Date())).filter(({ verdict }) => verdict === 'problem');
  assert.ok(problems.some(({ check, fields }) => check === 'authority' && fields?.about === 'root'));
  const asked = await failure(palyra(['ca', 'set-aside'], { home }), { code: 'NO_TERMINAL', exitCode: 2 });
  assert.match(asked, /Root [0-9a-f]{16}, valid from .*EVERY DEVICE MUST PAIR AGAIN.*Nothing was changed/s);
  await failure(palyra(['daemon'], { home }), refusal);
  const done = await answer(['ca', 'set-aside', '--yes'], { home });
  assert.equal(done.root, 'new');
  const daemon = await DaemonProcess.start(t, { home });
  assert.equal(daemon.daemonId, ahead.daemonId);
  await failure(palyra(['ca', 'set-aside', '--yes'], { home }), { code: 'HOME_IN_USE', exitCode: 4 });
  const admin = await daemon.admin();
  assert.ok((await admin.verifyAudit({})).ok);
  const { code } = await admin.mintCode({ autoApprove: true });
  const deviceHome = await makeHome(t);
  await answer(['pair', daemon.pairingAddress, '--code-stdin'], { home: deviceHome, stdin: code });
  await daemon.stop();
  assert.deepEqual((await answer(['ca', 'set-aside', '--yes'], { home })).set_aside, []);
});

test('a device whose clock is a day off is told so', { skip: noWrongClock }, async (t) => {
  const daemon = await startsAsBefore(t);
  for (const days of [-1, 1]) {
    const home = await makeHome(t);
    assert.match(await pairInVain(daemon, home, clockOffByDays(days)), bothTimes);
    await failure(palyra(['node', 'status'], { home }), { code: 'NOT_PAIRED', exitCode: 4 });
  }
  const call = palyra(['node', 'status'], { home: homes.deviceHome, env: clockOffByDays(-1) });
  assert.match(await failure(call, clockSkew), notValidNow);
  await answer(['node', 'status'], { home: homes.deviceHome });
});

async function refusedForItsClock(daemon: TestDaemon): Promise<void> {
  const device = await makeDevice();
  const error = await expectCode(request(daemon, device), 'CLOCK_SKEW');
  assert.match(error.message, bothTimes);
  assert.deepEqual(await device.secrets.list('enrollments/'), []);
}

async function checkAudit(daemon: TestDaemon): Promise<void> {
  const verdict = await daemon.admin.verifyAudit({});
  assert.ok(verdict.ok, verdict.problem);
}

/** Checks that the daemon works as before, with its device. */
async function startsAsBefore(t: TestContext): Promise<DaemonProcess> {
  const { home, deviceHome, daemonId } = homes;
  const daemon = await DaemonProcess.start(t, { home });
  assert.equal(daemon.daemonId, daemonId);
  await answer(['node', 'status'], { home: deviceHome });
  assert.ok((await (await daemon.admin()).verifyAudit({})).ok);
  return daemon;
}

async function pairedHomes(scope: Scope) {
  const home = await makeHome(scope);
  const here = { host: '127.0.0.1' };
  await configure(home, {
    pairing: { ...here, port: await freePort() },
    node: { ...here, port: await freePort() },
  });
  const daemon = await DaemonProcess.start(scope, { home });
  const deviceHome = await makeHome(scope);
  const { code } = await answer(['pairing', 'code'], { home });
  const words = ['pair', daemon.pairingAddress, '--code-stdin'];
  const pairing = PalyraProcess.start(words, { home: deviceHome, stdin: code });
  const { request_id: id } = await pairing.line(({ event }) => event === 'words');
  await answer(['pairing', 'approve', id], { home });
  assert.equal((await pairing.ended).exitCode, 0);
  await answer(['node', 'status'], { home: deviceHome });
  await daemon.stop();
  return { home, deviceHome, daemonId: daemon.daemonId };
}

/** Pairs with a new code. @returns the error on the device. */
async function pairInVain(
  daemon: DaemonProcess,
  home: string,
  env: Record<string, string> = {},
): Promise<string> {
  const { code } = await (await daemon.admin()).mintCode({});
  return failure(
    palyra(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin: code, env }),
    clockSkew,
  );
}
