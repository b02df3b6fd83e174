// The disk of the home is full: changes are refused with STORE_FULL, everything else continues, and with space
// again everything works as before.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@palyra/identity';
import { requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { fromConnectError } from '@palyra/rpc';
import { PairingState } from '@palyra/rpc/admin';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import { configure, failure, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair, request } from '../testing/sample-device.ts';
import { mountSmallDisk, type SmallDisk } from '../testing/small-disk.ts';

const diskBytes = 16 * 1024 * 1024;
const full = { code: 'STORE_FULL', exitCode: 6 };

/** When a device that was last seen longer ago than this connects, the time is stored. */
const seenAgainMs = 12 * minute;

test('on a full disk a running daemon refuses what it cannot store, and knows its devices', async (t) => {
  const disk = await mountSmallDisk(t, diskBytes);
  if (!disk) return;
  const daemon = await TestDaemon.start(t, { home: join(disk.path, 'home') });
  const { admin } = daemon;
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const connection = await daemon.node(paired);
  await connection.status({});
  const asking = await makeDevice();
  const pending = await request(daemon, asking);
  const { code, pairingId } = await admin.mintCode({});

  const error = await fill(disk, daemon, device.identity.id);
  assert.match(error.message, /disk .* is full.* Free some space and try again/);
  await expectCode(admin.mintCode({}), 'STORE_FULL');
  await expectCode(admin.approvePairing({ id: pending.requestId }), 'STORE_FULL');
  const stranger = await makeDevice();
  await expectCode(
    requestPairing(stranger, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress),
    'STORE_FULL',
  );
  assert.deepEqual(await stranger.secrets.list('enrollments/'), []);
  await connection.status({});
  await (await daemon.node(paired)).status({});
  assert.equal((await admin.getPairing({ id: pending.requestId })).state, PairingState.PENDING_APPROVAL);
  assert.ok((await admin.verifyAudit({})).ok);

  await disk.free();
  await admin.approvePairing({ id: pending.requestId });
  await (await daemon.node(await collect(daemon, asking, pending))).status({});
  const { guessesLeft } = await admin.getPairing({ id: pairingId });
  assert.equal(guessesLeft, 3, 'the guess that was not stored was not answered, either');
  assert.ok((await admin.verifyAudit({})).ok);
});

test('on a full disk a device that was away for a while can connect', async (t) => {
  const disk = await mountSmallDisk(t, diskBytes);
  if (!disk) return;
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { home: join(disk.path, 'home'), clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  clock.advance(seenAgainMs);
  await fill(disk, daemon, device.identity.id);
  await (await daemon.node(paired)).status({});
});

test('a start on a full disk reports the reason, and the daemon is unchanged once there is space', async (t) => {
  const disk = await mountSmallDisk(t, diskBytes);
  if (!disk) return;
  const home = join(disk.path, 'home');
  await configure(home);
  await disk.fill();
  const first = await failure(palyra(['daemon'], { home }), full);
  assert.match(first, /is full.* Free some space and try again/);
  await disk.free();

  const before = await DaemonProcess.start(t, { home });
  const { pairingId } = await (await before.admin()).mintCode({});
  await disk.fill();
  const codes = await palyra(['pairing', 'list'], { home });
  assert.equal(codes.lines[0]?.pairings.length, 1);
  await before.stop();
  const again = await failure(palyra(['daemon'], { home }), full);
  assert.match(again, /is full.* Free some space and try again/);
  await disk.free();

  const after = await DaemonProcess.start(t, { home });
  assert.equal(after.daemonId, before.daemonId);
  assert.equal((await (await after.admin()).getPairing({ id: pairingId })).state, PairingState.WAITING);
  assert.ok((await (await after.admin()).verifyAudit({})).ok);
});

/** Fills the disk, even the space in the registry's own log. @returns the operator's error. */
async function fill(disk: SmallDisk, { admin }: TestDaemon, deviceId: string): Promise<Error> {
  await disk.fill();
  for (let times = 0; times < 5000; times += 1) {
    const rename = admin.renameDevice({ id: deviceId, name: `name ${times}` });
    const refusal = await rename.then(() => undefined, fromConnectError);
    if (!refusal) continue;
    assert.ok(hasCode(refusal, 'STORE_FULL'), refusal.message);
    return refusal;
  }
  assert.fail('the disk never became full');
}
