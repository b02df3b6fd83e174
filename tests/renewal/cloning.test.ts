// Possible copies over real connections: another holder uses the certificate that a device has replaced.

import assert from 'node:assert/strict';
import test from 'node:test';
import { renewCertificate } from '@palyra/identity/device';
import { copied, limits, serialOf, suspicions } from '../testing/copied-device.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, minute } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request, sameIdOtherKey } from '../testing/sample-device.ts';

test('many replaced certificates of one device cause one report, and none once they have ended', async (t) => {
  const { clock, daemon, device, old, renewed } = await copied(t, 'http2');
  const replaced = [old];
  let newest = renewed;
  for (let count = 0; count < 10; count += 1) {
    replaced.push(newest);
    const node = await daemon.node(newest);
    newest = await renewCertificate(device, newest, (proof) => node.renew(proof));
    await (await daemon.node(newest)).status({});
  }
  const useAll = async () => {
    for (const each of replaced)
      await expectCode((await daemon.node(each)).status({}), 'CERTIFICATE_SUPERSEDED');
  };
  const rows = async () => {
    const { entries } = await daemon.admin.listAudit({ limit: 1000 });
    return entries.filter(({ action }) => action === 'certificate.reused').length;
  };
  clock.advance(minute);
  await useAll();
  assert.deepEqual([suspicions(daemon).length, await rows()], [1, 1]);
  clock.advance(10 * minute);
  await useAll();
  assert.deepEqual([suspicions(daemon).length, await rows()], [2, 2]);
  clock.advance(7 * day);
  await useAll();
  assert.deepEqual([suspicions(daemon).length, await rows()], [2, 2]);
});

test('a device that lost the answer to its renewal uses its old certificate without an alarm', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits, cloning: 'quarantine' });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  const node = await daemon.node(old);
  await renewCertificate(device, old, (proof) => node.renew(proof));
  clock.advance(60 * minute);
  await (await daemon.node(old)).status({});
  assert.equal((await daemon.admin.getDevice({ id: device.identity.id })).device?.cloneSeenMs, 0n);
});

test('a report is not repeated after a restart', async (t) => {
  const { clock, daemon, knock, reports, old, id } = await copied(t, 'http2');
  clock.advance(minute);
  await knock();
  assert.equal((await reports()).length, 1);
  await daemon.stop();
  const again = await TestDaemon.start(t, { clock, limits, home: daemon.home });
  await expectCode((await again.node(old)).status({}), 'CERTIFICATE_SUPERSEDED');
  const { entries } = await again.admin.listAudit({ subject: serialOf(old), limit: 100 });
  assert.equal(entries.filter(({ action }) => action === 'certificate.reused').length, 1);
  assert.notEqual((await again.admin.getDevice({ id })).device?.cloneSeenMs, 0n);
});

test('in quarantine no approval lets the device in, and the operator can revoke it permanently', async (t) => {
  const { clock, daemon, device, id, knock, renewed } = await copied(t, 'http2', { cloning: 'quarantine' });
  const again = await request(daemon, device);
  const other = await makeDevice({ identity: await sameIdOtherKey(device.identity), clock });
  const otherKey = await request(daemon, other);
  clock.advance(minute);
  await knock();
  await expectCode(daemon.admin.approvePairing({ id: again.requestId }), 'DEVICE_QUARANTINED');
  await expectCode(
    daemon.admin.approvePairing({ id: otherKey.requestId, replaceIdentityKey: true }),
    'DEVICE_QUARANTINED',
  );
  await daemon.admin.revokeDevice({ id, reason: 'copied' });
  await expectCode((await daemon.node(renewed)).status({}), 'DEVICE_REVOKED');
  await expectCode(daemon.admin.releaseDevice({ id }), 'DEVICE_REVOKED');
});

test('only a known device can be released', async (t) => {
  const daemon = await TestDaemon.start(t);
  await expectCode(daemon.admin.releaseDevice({ id: '01K8ZQ4YV3M6X9T2B7C5D1E0FG' }), 'DEVICE_NOT_FOUND');
  await expectCode(daemon.admin.releaseDevice({ id: 'laptop' }), 'DEVICE_ID_INVALID');
});
