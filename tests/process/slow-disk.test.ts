// While the disk of a daemon hangs, changes wait for it and nobody else does: calls, streams and handshakes go on. A
// change that waits has no effect yet; once it is acknowledged, it holds.

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { awaitPairing, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { onBadDisk, skipBadDisk } from '../testing/bad-disk.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { configure, makeHome } from '../testing/palyra-process.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { longestWaitMs } from '../testing/until.ts';

test('while the disk hangs, a revocation waits, and calls and connections go on until it is acknowledged', {
  skip: skipBadDisk,
}, async (t) => {
  const held = join(temporaryFolder(), 'held');
  const home = await makeHome(t);
  await configure(home, {});
  const daemon = await DaemonProcess.start(t, { home, env: onBadDisk({ held }) });
  const admin = await daemon.admin();
  const device = await makeDevice();
  const { code } = await admin.mintCode({});
  const pending = await requestPairing(
    device,
    await daemon.peer(),
    parsePairingCode(code),
    daemon.pairingAddress,
  );
  await admin.approvePairing({ id: pending.requestId });
  const paired = await awaitPairing(device, await daemon.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
  const standing = await daemon.node(paired);
  await standing.status({});

  writeFileSync(held, '');
  let isAcknowledged = false;
  const revocation = admin.revokeDevice({ id: device.identity.id, reason: 'lost' }).then(() => {
    isAcknowledged = true;
  });
  for (let call = 0; call < 50; call += 1) await standing.status({});
  // New connections too, and the operator.
  await (await daemon.node(paired)).status({});
  assert.equal((await admin.listDevices({})).devices.length, 1);
  assert.equal(isAcknowledged, false);

  rmSync(held);
  await revocation;
  await expectCode((await daemon.node(paired)).status({}), 'DEVICE_REVOKED');
  assert.ok((await admin.verifyAudit({})).ok);
  await daemon.stop();
});
