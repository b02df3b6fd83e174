// The time at which a device renews, whatever its clocks say.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { renewalTime } from '@palyra/identity/device';
import { RenewalSchedule } from '../../packages/identity/src/renewal/schedule.ts';
import { HeldClock, hour, minute, second } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const lifeMs = 10 * minute;

/** A certificate with a life of ten minutes, received with a clock that differs from the daemon's by `offMs`. */
async function arrived(t: TestContext, offMs: number) {
  const clock = new HeldClock();
  const limits = { deviceCertificateLifeMs: lifeMs };
  const daemon = await TestDaemon.start(t, { clock, limits });
  const paired = await pair(daemon, await makeDevice({ clock }));
  const receivedAt = clock.now().getTime() + offMs;
  return {
    paired: { ...paired, receivedAt, renewAfterMs: 0 },
    renewAfterMs: paired.renewAfterMs!,
    receivedAt,
  };
}

const at = (wallMs: number, monotonicMs: number) => ({ wallMs, monotonicMs });

for (const [what, offMs] of [
  ['right', 0],
  ['behind by the life of a certificate', -lifeMs],
  ['ahead by the life of a certificate', lifeMs],
  ['years ahead', 100_000 * hour],
] as const) {
  test(`a clock that is ${what} does not move the renewal`, async (t) => {
    const { paired, renewAfterMs, receivedAt } = await arrived(t, offMs);
    const own = renewalTime(paired, 1).getTime() - receivedAt;
    assert.ok(Math.abs(own - lifeMs * (2 / 3)) < 2 * second, `${own}`);
    const asked = renewalTime({ ...paired, renewAfterMs }, 1).getTime() - receivedAt;
    assert.equal(asked, renewAfterMs, 'the device follows the daemon');
    const schedule = new RenewalSchedule(paired, at(receivedAt, 0), 1);
    for (const isLate of [false, true]) {
      const ms = own + (isLate ? second : -second);
      assert.equal(schedule.isDue(at(receivedAt + ms, ms)), isLate);
    }
  });
}

test('a certificate that arrived late is renewed sooner', async (t) => {
  const { paired, receivedAt } = await arrived(t, 4 * minute);
  const ms = renewalTime(paired, 1).getTime() - receivedAt;
  assert.ok(Math.abs(ms - 4 * minute) < 2 * second, `${ms}`);
});

test('either clock can make a renewal due: the machine slept, or its clock was set back', async (t) => {
  const { paired, receivedAt } = await arrived(t, 0);
  const make = () => new RenewalSchedule(paired, at(receivedAt, 0), 1);
  assert.equal(make().isDue(at(receivedAt + 8 * minute, minute)), true, 'the monotonic clock stood still');
  assert.equal(make().isDue(at(receivedAt - hour, 8 * minute)), true, 'the wall clock was set back');
  assert.equal(make().isDue(at(receivedAt + hour, second)), false, 'two renewals are never close together');
  const restarted = new RenewalSchedule(paired, at(receivedAt - hour, 0), 1);
  assert.equal(restarted.isDue(at(receivedAt - hour + 7 * minute, 7 * minute)), true);
});

test('a busy daemon cannot delay a device until its certificate has expired', async (t) => {
  const { paired, receivedAt } = await arrived(t, 0);
  const schedule = new RenewalSchedule(paired, at(receivedAt, 0), 1);
  const now = at(receivedAt + 7 * minute, 7 * minute);
  const retryInMs = schedule.failed(now, hour, 0);
  assert.ok(retryInMs > 40 * second && retryInMs <= 45 * second, `${retryInMs}`);
  assert.equal(schedule.isDue(now), false);
  assert.equal(schedule.isDue(at(now.wallMs - hour, now.monotonicMs + retryInMs)), true);
  assert.equal(schedule.failed(now, 10 * second, 0), 10 * second, 'the device obeys where that does no harm');
});

test("the daemon's plan and the operator's wish bring a renewal forward, never back", async (t) => {
  const { paired, receivedAt } = await arrived(t, 0);
  const make = () => new RenewalSchedule(paired, at(receivedAt, 0), 1);
  const after = (ms: number) => at(receivedAt + ms, ms);

  const planned = make();
  planned.plannedIn(after(0), second);
  // Not within a fiftieth of its life.
  assert.equal(planned.isDue(after(2 * second)), false, 'two renewals are never close together');
  assert.equal(planned.isDue(after(13 * second)), true);
  planned.plannedIn(after(0), hour);
  assert.equal(planned.isDue(after(13 * second)), true, 'a later plan does not count');

  const asked = make();
  asked.askedIn(after(0), 2 * second);
  assert.equal(asked.isDue(after(second)), false);
  assert.equal(asked.isDue(after(2 * second)), true, 'the operator need not wait');
});
