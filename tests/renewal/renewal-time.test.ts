// The time at which a device is asked to renew, and whether it follows.

import assert from 'node:assert/strict';
import test from 'node:test';
import { renewalTime } from '@palyra/identity/device';
import { day, HeldClock, hour, minute, second } from '../testing/held-clock.ts';
import { recover, renew } from '../testing/renewals.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

test('every answer with a certificate asks for a renewal within the bounds, and a device follows it', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  const renewed = await renew(daemon, device, paired);
  const recovered = await recover(daemon, device, renewed);
  for (const enrollment of [paired, renewed, recovered]) {
    const askedMs = enrollment.renewAfterMs ?? 0;
    assert.ok(askedMs >= 12 * hour && askedMs <= 20 * hour, `${askedMs}`);
    assert.equal(renewalTime(enrollment, 0.5).getTime(), enrollment.receivedAt + askedMs);
  }
  clock.advance(hour);
  const status = await (await daemon.node(recovered)).status({});
  assert.equal(status.renewAfterMs, recovered.renewAfterMs! - hour);
});

test('a device ignores a request to renew too early or too late', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  const own = renewalTime({ ...paired, renewAfterMs: 0 }, 0.5);
  for (const renewAfterMs of [1, 11 * hour, 20 * hour + minute, day, 2 ** 32 - 1, Number.NaN, -1]) {
    assert.deepEqual(renewalTime({ ...paired, renewAfterMs }, 0.5), own, `${renewAfterMs}`);
  }
  for (const renewAfterMs of [12 * hour + minute, 20 * hour - minute]) {
    const followed = renewalTime({ ...paired, renewAfterMs }, 0.5);
    assert.equal(followed.getTime(), paired.receivedAt + renewAfterMs);
  }
});

test('the time to renew is counted from the arrival, and randomised', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = { ...(await pair(daemon, device)), renewAfterMs: 0 };
  const after = (random: number) => renewalTime(enrollment, random).getTime() - clock.now().getTime();
  assert.ok(Math.abs(after(1) - 16 * hour) < minute);
  assert.ok(Math.abs(after(0) - 14.4 * hour) < minute);
});

test('"last seen" still advances after the clock was set back', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  const lastSeen = async () => {
    await (await daemon.node(paired)).status({});
    return Number((await daemon.admin.getDevice({ id: device.identity.id })).device!.lastSeenMs);
  };
  const first = await lastSeen();
  clock.advance(minute);
  assert.equal(await lastSeen(), first, 'not stored for every connection');
  clock.advance(-30 * second);
  assert.equal(await lastSeen(), first);
  clock.advance(hour);
  assert.ok((await lastSeen()) > first);
  clock.advance(-hour);
  assert.equal(await lastSeen(), clock.now().getTime());
});
