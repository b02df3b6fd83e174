// Clocks that differ by no more than the tolerance: everything works, even with objects created a moment ago.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockToleranceMs } from '@palyra/identity/values';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { day, HeldClock, second } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

/** How far the device is behind. The remaining tolerance covers the time of the test. */
const behindMs = clockToleranceMs - 60 * second;

test('a device whose clock is slow within the pairing tolerance is let in right after the daemon starts', async (t) => {
  const clock = new HeldClock(Date.now() - day);
  const first = await TestDaemon.start(t, { clock });
  await first.stop();
  clock.advance(day + behindMs);
  // TLS on the device uses the real time.
  const daemon = await TestDaemon.start(t, { clock, home: first.home });
  const paired = await pair(daemon, await makeDevice());
  await (await daemon.node(paired)).status({});
  const quic = await dialNodeQuic(createQuic(), paired);
  daemon.closeAtEnd(quic);
  assert.equal(quic.name, 'quic');
});
