// The operator asks devices to renew before their planned time: connected agents do it at once, others when they connect.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, NodeService } from '@palyra/rpc';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute } from '../testing/held-clock.ts';
import { renew, serialOf, statesOf } from '../testing/renewals.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { TestAgent } from '../testing/test-agent.ts';

const asksOf = async (daemon: TestDaemon) =>
  (await daemon.admin.listAudit({ limit: 1000 })).entries.filter(
    ({ action }) => action === 'certificate.renewal_asked',
  );

for (const transport of ['http2', 'quic', 'websocket'] as const)
  test(`an agent over ${transport} renews at once when it is asked, and comes back with the new certificate`, async (t) => {
    const daemon = await TestDaemon.start(t, { web: { port: 0 } });
    const device = await makeDevice();
    const enrollment = { ...(await pair(daemon, device)), webAddress: daemon.webAddress };
    const agent = new TestAgent(t, device, enrollment, { transport });
    await agent.connected();
    const id = device.identity.id;
    assert.deepEqual(plain(await daemon.admin.renewDevices({ ids: [id] })), [1, 1, '']);
    await agent.until((states) => states.some(({ state }) => state === 'renewed'));
    await agent.connected(2);
    const states = await statesOf(daemon, device);
    assert.equal(states[serialOf(enrollment)], 'superseded');
    assert.deepEqual(Object.values(states).sort(), ['active', 'superseded']);
    const [row, ...others] = await asksOf(daemon);
    assert.deepEqual(others, []);
    assert.equal(row?.subject, serialOf(enrollment));
    const { device: of, by } = JSON.parse(row.detailJson);
    assert.deepEqual([of, by], [id, 'admin socket']);
    assert.equal((await daemon.admin.verifyAudit({})).ok, true);
  });

/** The first event of a channel, without an agent. */
async function welcome(t: TestContext, daemon: TestDaemon, enrollment: PairedEnrollment) {
  const connection = await dialNode(enrollment.nodeAddress, enrollment);
  t.after(() => connection.close());
  daemon.closeAtEnd(connection);
  const over = new AbortController();
  const hello = { case: 'hello', value: { agentId: new Uint8Array(16), lastSeq: 0n } } as const;
  const events = createClient(NodeService, connection.transport).events(
    (async function* () {
      yield { event: hello };
      await new Promise((resolve) => over.signal.addEventListener('abort', resolve));
    })(),
  );
  for await (const { event } of events) {
    over.abort();
    assert.equal(event.case, 'welcome');
    return event.case === 'welcome' ? event.value : assert.fail();
  }
  return assert.fail('no event');
}

test('a device that was away learns of the new time when it connects', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const planned = (await welcome(t, daemon, enrollment)).renewAfterMs ?? 0;
  assert.ok(planned >= 12 * hour, `${planned}`);
  const withinMs = BigInt(2 * hour);
  assert.deepEqual(plain(await daemon.admin.renewDevices({ ids: [device.identity.id], withinMs })), [
    1,
    0,
    '',
  ]);
  const asked = (await welcome(t, daemon, enrollment)).renewAfterMs ?? assert.fail('no time');
  assert.ok(asked <= 2 * hour, `${asked}`);
  // One that is planned earlier stays so.
  await daemon.admin.renewDevices({ ids: [device.identity.id], withinMs: BigInt(10 * hour) });
  assert.ok(((await welcome(t, daemon, enrollment)).renewAfterMs ?? hour * 99) <= asked);
  clock.advance(3 * hour);
  assert.equal((await welcome(t, daemon, enrollment)).renewAfterMs, 0, 'now');
  // The new certificate has a plan of its own.
  const renewed = await renew(daemon, device, enrollment);
  assert.ok((renewed.renewAfterMs ?? 0) >= 12 * hour);
});

test('a fleet is spread over the time by the plan', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { liveCodes: 500 } });
  const devices = await Promise.all(Array.from({ length: 16 }, () => makeDevice({ clock })));
  for (const device of devices) await pair(daemon, device);
  // An hour has 15 spans of 4 minutes.
  await daemon.admin.renewDevices({ all: true, withinMs: BigInt(hour) });
  const times = (await asksOf(daemon)).map(({ detailJson }) => Number(JSON.parse(detailJson).renew_at));
  assert.equal(times.length, 16);
  const now = clock.now().getTime();
  assert.ok(times.every((time) => time >= now && time <= now + hour));
  const spans = new Map<number, number>();
  for (const time of times) {
    const span = Math.floor(time / (4 * minute));
    spans.set(span, (spans.get(span) ?? 0) + 1);
  }
  assert.ok(Math.max(...spans.values()) <= 2, [...spans.values()].join());
});

test('all: pages reach every device that has a valid certificate, and nobody else', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const [kept, revoked, expired] = [
    await makeDevice({ clock }),
    await makeDevice({ clock }),
    await makeDevice({ clock }),
  ];
  await pair(daemon, expired);
  clock.advance(2 * day);
  for (const device of [kept, revoked]) await pair(daemon, device);
  await daemon.admin.revokeDevice({ id: revoked.identity.id, reason: 'sold' });
  const { asked, nextAfter } = await daemon.admin.renewDevices({ all: true });
  assert.deepEqual([asked, nextAfter], [1, '']);
  // From the middle on.
  const later = await daemon.admin.renewDevices({ all: true, after: kept.identity.id });
  assert.equal(later.asked, 0);
});

test('what cannot be asked is refused with its code, and nothing is changed', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const [good, revoked, expired] = [
    await makeDevice({ clock }),
    await makeDevice({ clock }),
    await makeDevice({ clock }),
  ];
  await pair(daemon, expired);
  clock.advance(2 * day);
  for (const device of [good, revoked]) await pair(daemon, device);
  await daemon.admin.revokeDevice({ id: revoked.identity.id, reason: 'sold' });
  const { id } = good.identity;
  const unknown = (await makeDevice()).identity.id;
  for (const [wanted, code] of [
    [{ ids: [id, unknown] }, 'DEVICE_NOT_FOUND'],
    [{ ids: [id, revoked.identity.id] }, 'DEVICE_REVOKED'],
    [{ ids: [id, expired.identity.id] }, 'CERTIFICATE_EXPIRED'],
    [{ ids: [id, 'not an id'] }, 'DEVICE_ID_INVALID'],
    [{ ids: [id], all: true }, 'MESSAGE_INVALID'],
    [{}, 'MESSAGE_INVALID'],
    [{ ids: Array(1001).fill(id) }, 'MESSAGE_INVALID'],
    [{ ids: [id], withinMs: BigInt(31 * day) }, 'MESSAGE_INVALID'],
    [{ ids: [id], withinMs: 2n ** 64n - 1n }, 'MESSAGE_INVALID'],
  ] as const)
    await expectCode(
      daemon.admin.renewDevices({ ...wanted, ids: [...('ids' in wanted ? wanted.ids : [])] }),
      code,
    );
  assert.deepEqual(await asksOf(daemon), []);
  // A device that is named twice is asked once.
  assert.equal((await daemon.admin.renewDevices({ ids: [id, id] })).asked, 1);
  assert.equal((await asksOf(daemon)).length, 1);
});

const plain = ({ asked, connected, nextAfter }: { asked: number; connected: number; nextAfter: string }) => [
  asked,
  connected,
  nextAfter,
];
