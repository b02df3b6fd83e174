// An operator's lists of devices: filters, labels, order, and hidden devices.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from '@connectrpc/connect';
import { AdminService, dialNode } from '@palyra/rpc';
import { DeviceKind, DeviceOrder, DeviceState } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, sameIdOtherKey } from '../testing/sample-device.ts';

const dayMs = 86_400_000;

type Filter = Parameters<TestDaemon['admin']['listDevices']>[0];

async function namesOf(daemon: TestDaemon, filter: Filter): Promise<string> {
  const { devices } = await daemon.admin.listDevices(filter);
  return devices.map(({ name }) => name).join(' ');
}

test('a list contains the devices that match every part of its filter', async (t) => {
  const daemon = await TestDaemon.start(t);
  const ids = new Map<string, string>();
  for (const [name, kind] of [
    ['lamp', 'node'],
    ['phone', 'browser'],
    ['door', 'node'],
  ] as const) {
    const device = { ...(await makeDevice({ name })), kind };
    ids.set(name, device.identity.id);
    await pair(daemon, device);
  }
  const id = (name: string) => ids.get(name)!;
  await daemon.admin.setLabels({ id: id('lamp'), labels: ['site=berlin', 'kitchen', 'kitchen'] });
  await daemon.admin.setLabels({ id: id('door'), labels: ['site=berlin'] });
  await daemon.admin.revokeDevice({ id: id('door'), reason: 'sold' });
  assert.equal(await namesOf(daemon, { labels: ['site=berlin'] }), 'lamp door');
  assert.equal(await namesOf(daemon, { labels: ['site=berlin', 'kitchen'] }), 'lamp');
  assert.equal(await namesOf(daemon, { kinds: [DeviceKind.NODE] }), 'lamp door');
  assert.equal(await namesOf(daemon, { kinds: [DeviceKind.NODE], states: [DeviceState.REVOKED] }), 'door');
  assert.equal(await namesOf(daemon, { order: DeviceOrder.NAME }), 'door lamp phone');
  const shown = (await daemon.admin.getDevice({ id: id('lamp') })).device;
  assert.deepEqual(shown?.labels, ['kitchen', 'site=berlin']);
  const { entries } = await daemon.admin.listAudit({ family: 'device', subject: id('lamp') });
  assert.deepEqual(JSON.parse(entries[0]!.detailJson), { by: 'admin socket', labels: 'kitchen,site=berlin' });
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('each page continues where the last one ended, even for names that are equal when folded', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const name of ['b: two', 'A', 'a', 'É', 'b']) await pair(daemon, await makeDevice({ name }));
  for (const order of [DeviceOrder.UNSPECIFIED, DeviceOrder.NAME, DeviceOrder.SEEN, DeviceOrder.EXPIRY]) {
    const met: string[] = [];
    for (let after = ''; ; ) {
      const page = await daemon.admin.listDevices({ order, after, limit: 2 });
      met.push(...page.devices.map(({ id }) => id));
      if (page.nextAfter === '') break;
      after = page.nextAfter;
    }
    assert.equal(met.length, 5, String(order));
    assert.equal(new Set(met).size, 5, String(order));
  }
});

test('certificates that end soon are found, and devices revoked long ago are hidden unless requested', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const old = await makeDevice({ name: 'old', clock });
  await pair(daemon, old);
  await daemon.admin.revokeDevice({ id: old.identity.id, reason: 'sold' });
  clock.advance(30 * dayMs - 1000);
  const kept = await makeDevice({ name: 'kept', clock });
  await pair(daemon, kept);
  const now = clock.now().getTime();
  assert.equal(await namesOf(daemon, { hideLongRevoked: true }), 'old kept');
  assert.equal(await namesOf(daemon, { endsByMs: BigInt(now + dayMs / 2) }), '');
  assert.equal(await namesOf(daemon, { endsByMs: BigInt(now + 2 * dayMs) }), 'kept');
  clock.advance(2000);
  assert.equal(await namesOf(daemon, { hideLongRevoked: true }), 'kept');
  assert.equal(await namesOf(daemon, {}), 'old kept');
  assert.equal(await namesOf(daemon, { states: [DeviceState.REVOKED] }), 'old');
});

test('an invalid filter, label or page is MESSAGE_INVALID, and changes nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await pair(daemon, device);
  const { id } = device.identity;
  const before = (await daemon.admin.listAudit({ limit: 1 })).entries[0]?.seq;
  const bad: Filter[] = [
    { states: [DeviceState.UNSPECIFIED] },
    { states: [99 as DeviceState] },
    { kinds: [77 as DeviceKind] },
    { order: 9 as DeviceOrder },
    { labels: ['Not a label'] },
    { labels: Array.from({ length: 40 }, (_, place) => `l${place}`) },
    { endsByMs: -1n },
    { endsByMs: 2n ** 62n },
    { order: DeviceOrder.NAME, after: 'no place' },
    { order: DeviceOrder.SEEN, after: `${id}:soon` },
    { order: DeviceOrder.EXPIRY, after: `${id}:1e400` },
  ];
  for (const filter of bad) await expectCode(daemon.admin.listDevices(filter), 'MESSAGE_INVALID');
  for (const label of ['', 'a b', 'KITCHEN', 'a"', '%', 'a=b=c', 'x'.repeat(64), 'a\u202eb'])
    await expectCode(daemon.admin.setLabels({ id, labels: ['good', label] }), 'MESSAGE_INVALID');
  await expectCode(
    daemon.admin.setLabels({ id, labels: Array.from({ length: 33 }, (_, place) => `l${place}`) }),
    'MESSAGE_INVALID',
  );
  await expectCode(daemon.admin.setLabels({ id: 'x', labels: [] }), 'DEVICE_ID_INVALID');
  await expectCode(daemon.admin.listAudit({ family: 'Device.' }), 'MESSAGE_INVALID');
  assert.equal((await daemon.admin.listAudit({ limit: 1 })).entries[0]?.seq, before);
});

test("an operator's device cannot set labels, which may give rights", async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, device, { operator: true }));
  daemon.closeAtEnd(connection);
  const remote = createClient(AdminService, connection.transport);
  await expectCode(remote.setLabels({ id: device.identity.id, labels: ['admin'] }), 'CALLER_NOT_ALLOWED');
  assert.deepEqual((await remote.getDevice({ id: device.identity.id })).device?.labels, []);
});

test('a device that is paired again keeps its labels, and loses them with another key', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { id } = device.identity;
  await pair(daemon, device);
  await daemon.admin.setLabels({ id, labels: ['kitchen'] });
  const labels = async () => (await daemon.admin.getDevice({ id })).device?.labels;
  await pair(daemon, device);
  assert.deepEqual(await labels(), ['kitchen']);
  const other = { ...device, identity: await sameIdOtherKey(device.identity) };
  await pair(daemon, other, { replaceIdentityKey: true });
  assert.deepEqual(await labels(), []);
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});
