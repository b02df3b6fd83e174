// A device that is revoked while the clock is wrong stays revoked when it is right, even for programs that use revocation lists.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CertificateState } from '@palyra/rpc/admin';
import { day, HeldClock } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

test('the certificate of a device that is revoked while the clock is days ahead is on the list', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice();
  await pair(daemon, device);
  const id = device.identity.id;
  clock.jump(3 * day);
  await daemon.admin.revokeDevice({ id, reason: 'stolen' });
  clock.jump(-3 * day);
  const { certificates } = await daemon.admin.getDevice({ id });
  assert.deepEqual(
    certificates.map(({ state }) => state),
    [CertificateState.REVOKED],
  );
  const verdict = await daemon.admin.verifyAudit({});
  assert.ok(verdict.ok, verdict.problem);
});
