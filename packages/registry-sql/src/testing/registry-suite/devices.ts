// Tests for every registry: devices.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Device, DeviceOrder, DevicesQuery } from '@palyra/identity/registry';
import {
  addDevice,
  after,
  quarantinedDevice,
  revokedDevice,
  sampleCertificate,
  sampleDevice,
  sampleHex,
  sampleUlid,
} from '../samples.ts';
import { insertDevices } from './contents.ts';
import type { SuiteTest } from './suite-test.ts';
import { rejects } from './suite-test.ts';

export function devicesTests(name: string, it: SuiteTest): void {
  describe(`${name}: devices`, () => {
    it('a device is read as it was written, with all optional fields and with none', async (registry) => {
      const suspicions = { cloneSeenAt: after(2), cloneReportedAt: after(3), certificateRevokedAt: after(4) };
      const devices = [
        sampleDevice({ name: 'Łódź 🚪', ...suspicions, recovery: { state: 'asked', at: after(5) } }),
        sampleDevice({ recovery: { state: 'released', at: after(5) } }),
        sampleDevice({ state: 'approved', lastSeenAt: undefined, capabilities: [] }),
        quarantinedDevice({ ...suspicions, recovery: { state: 'asked', at: after(5) } }),
        quarantinedDevice(),
        revokedDevice({ name: 'sold' }, 'sold'),
      ];
      await insertDevices(registry, ...devices);
      for (const each of devices) assert.deepEqual(await registry.device(each.id), each);
      assert.equal(await registry.device(sampleUlid()), undefined);
    });

    it('devices are counted by state, without states that none has', async (registry) => {
      assert.deepEqual(await registry.deviceStates(), new Map());
      const approved = { state: 'approved', lastSeenAt: undefined } as const;
      await insertDevices(
        registry,
        sampleDevice(),
        sampleDevice(),
        sampleDevice(approved),
        quarantinedDevice(),
      );
      assert.deepEqual(
        await registry.deviceStates(),
        new Map([
          ['active', 2],
          ['approved', 1],
          ['quarantined', 1],
        ]),
      );
    });

    it('an update replaces only this device', async (registry) => {
      const [one, other] = [sampleDevice(), sampleDevice()];
      await insertDevices(registry, one, other);
      const changed = revokedDevice({ id: one.id, name: 'renamed' }, 'sold');
      await registry.transact((tx) => tx.updateDevice(changed));
      assert.deepEqual(await registry.device(one.id), changed);
      assert.deepEqual(await registry.device(other.id), other);
    });

    it('an update of an unknown device is DEVICE_NOT_FOUND', async (registry) => {
      await rejects(
        registry.transact((tx) => tx.updateDevice(sampleDevice())),
        'DEVICE_NOT_FOUND',
      );
    });

    it('a device id can be used only once', async (registry) => {
      const device = sampleDevice();
      await insertDevices(registry, device);
      await rejects(insertDevices(registry, sampleDevice({ id: device.id })), 'STORE_FAILED');
      assert.deepEqual(await registry.device(device.id), device);
    });

    it('pages return every device once, in order of ids', async (registry) => {
      const devices = Array.from({ length: 7 }, () => sampleDevice());
      await insertDevices(registry, ...devices.toReversed());
      const met: string[] = [];
      for (;;) {
        const after = met.at(-1);
        const page = await registry.devices({ limit: 3, ...(after === undefined ? {} : { after }) });
        if (page.length === 0) break;
        assert.ok(page.length <= 3);
        for (const { id } of page) met.push(id);
      }
      assert.deepEqual(
        met,
        devices.map((device) => device.id),
      );
    });

    it('a search finds any part of a name, ignoring case, or the start of an id', async (registry) => {
      const lodz = sampleDevice({ name: 'Kiosk ŁÓDŹ' });
      const percent = sampleDevice({ name: '100%_\\x' });
      const plain = sampleDevice({ name: '100 percent' });
      await insertDevices(registry, lodz, percent, plain);
      const search = async (text: string) =>
        (await registry.devices({ limit: 10, search: text })).map((device) => device.id);
      assert.deepEqual(await search('łódź'), [lodz.id]);
      assert.deepEqual(await search('k łó'), [lodz.id]);
      assert.deepEqual(await search(plain.id.slice(0, 26).toLowerCase()), [plain.id]);
      assert.deepEqual(await search(plain.id.slice(0, 8)), [lodz.id, percent.id, plain.id]);
      assert.deepEqual(await search(plain.id.slice(1)), []);
      assert.deepEqual(await search('0%'), [percent.id]);
      assert.deepEqual(await search('_'), [percent.id]);
      assert.deepEqual(await search('\\'), [percent.id]);
      assert.deepEqual(await registry.devices({ limit: 10, search: '100', after: percent.id }), [plain]);
      assert.deepEqual(await registry.devices({ limit: 1, search: '100' }), [percent]);
    });

    it('a filter returns the devices that match every part of it', async (registry) => {
      const kitchen = sampleDevice({ kind: 'browser', labels: ['kitchen', 'site=berlin'] });
      const kitchens = sampleDevice({ labels: ['kitchens', 'site=berlin'] });
      const odd = sampleDevice({ labels: ['kitchen_2', 'kitchenx2'] });
      const lookalike = sampleDevice({ labels: ['kitchenx2'] });
      const waiting = sampleDevice({ kind: 'cli', state: 'approved' });
      await insertDevices(registry, kitchen, kitchens, odd, lookalike, waiting, quarantinedDevice());
      const found = async (query: Omit<DevicesQuery, 'limit'>) =>
        (await registry.devices({ limit: 10, ...query })).map(({ id }) => id);
      assert.deepEqual(await found({ labels: ['kitchen'] }), [kitchen.id]);
      assert.deepEqual(await found({ labels: ['site=berlin'] }), [kitchen.id, kitchens.id]);
      assert.deepEqual(await found({ labels: ['site=berlin', 'kitchens'] }), [kitchens.id]);
      assert.deepEqual(await found({ labels: ['kitchen_2'] }), [odd.id], '_ is no wildcard');
      assert.deepEqual(await found({ labels: ['site'] }), []);
      assert.deepEqual(await found({ states: ['approved'] }), [waiting.id]);
      assert.deepEqual(await found({ kinds: ['browser', 'cli'] }), [kitchen.id, waiting.id]);
      assert.deepEqual(await found({ kinds: ['browser', 'cli'], states: ['active'] }), [kitchen.id]);
      assert.deepEqual(await found({ states: [] }), []);
    });

    it('devices are found by the end of their certificate, ignoring replaced certificates', async (registry) => {
      const soon = await addDevice(registry, { device: { name: 'b' } });
      const renewed = await addDevice(registry, { device: { name: 'a' } });
      const none = sampleDevice({ name: 'c' });
      await insertDevices(registry, none);
      const { certificate } = renewed;
      await registry.transact(async (tx) => {
        await tx.moveCertificate(certificate.serial, 'active', 'superseded');
        const of = { device: renewed.device.id, issuer: certificate.issuerId };
        await tx.insertCertificate(sampleCertificate(of, { notAfter: after(5000), createdAt: after(1) }));
      });
      const by = async (endsBy: Date) => (await registry.devices({ limit: 9, endsBy })).map(({ id }) => id);
      assert.deepEqual(await by(after(999)), []);
      assert.deepEqual(await by(after(1000)), [soon.device.id]);
      assert.deepEqual(await by(after(5000)), [soon.device.id, renewed.device.id]);
      const expiring = await registry.devices({ limit: 9, order: 'expiry' });
      assert.deepEqual(
        expiring.map(({ id }) => id),
        [soon.device.id, renewed.device.id, none.id],
      );
    });

    it('devices that were revoked long ago are left out on request', async (registry) => {
      const [kept, old, recent] = [sampleDevice(), revokedDevice(), revokedDevice()];
      await insertDevices(registry, kept, old, recent);
      await registry.transact(async (tx) => {
        const reason = 'lost';
        await tx.insertRevocation({ at: after(10), deviceId: old.id, serial: undefined, reason });
        await tx.insertRevocation({ at: after(20), deviceId: recent.id, serial: undefined, reason });
        await tx.insertRevocation({ at: after(30), deviceId: old.id, serial: sampleHex(16), reason });
      });
      const since = async (revokedSince: Date) =>
        (await registry.devices({ limit: 9, revokedSince })).map(({ id }) => id);
      assert.deepEqual(await since(after(9)), [kept.id, old.id, recent.id]);
      assert.deepEqual(await since(after(10)), [kept.id, recent.id]);
      assert.deepEqual(await since(after(20)), [kept.id]);
    });

    it('pages in every order return every device once', async (registry) => {
      const names = ['b', 'a', 'C', 'a', 'd'];
      const devices = names.map((name, place) =>
        sampleDevice({ name, lastSeenAt: place === 2 ? undefined : after(place % 2) }),
      );
      await insertDevices(registry, ...devices);
      const keyOf: Record<Exclude<DeviceOrder, 'id'>, (device: Device) => string | number> = {
        name: ({ name }) => name.toLowerCase(),
        seen: ({ lastSeenAt }) => lastSeenAt?.getTime() ?? 0,
        expiry: () => Number.MAX_SAFE_INTEGER,
      };
      const expected = { name: 'a a b C d', seen: 'a a b d C', expiry: 'b a C a d' };
      for (const order of ['name', 'seen', 'expiry'] as const) {
        const met: Device[] = [];
        for (let last: Device | undefined; ; last = met.at(-1)) {
          const from = last && { after: last.id, afterKey: keyOf[order](last) };
          const page = await registry.devices({ limit: 2, order, ...from });
          if (page.length === 0) break;
          met.push(...page);
        }
        assert.equal(met.map(({ name }) => name).join(' '), expected[order], order);
        assert.equal(new Set(met.map(({ id }) => id)).size, names.length, order);
      }
    });

    it('a limit that is not a whole number is a TypeError', async (registry) => {
      for (const limit of [-1, 0.5, Number.NaN]) {
        await assert.rejects(registry.devices({ limit }), TypeError);
        await assert.rejects(registry.audit({ limit }), TypeError);
      }
    });

    it('a device counts as behind until it uses a certificate that is new enough', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const { device: revoked } = await addDevice(registry);
      await registry.transact((tx) => tx.updateDevice(revokedDevice(revoked)));
      const since = after(50);
      const behind = async () => (await registry.devicesBehind({ since, limit: 10 })).map(({ id }) => id);
      assert.deepEqual(await behind(), [device.id]);
      const of = { device: device.id, issuer: certificate.issuerId };
      const fresh = sampleCertificate(of, { createdAt: since, state: 'issued' });
      await registry.transact((tx) => tx.insertCertificate(fresh));
      assert.deepEqual(await behind(), [device.id]);
      await registry.transact((tx) => tx.moveCertificate(fresh.serial, 'issued', 'active'));
      assert.deepEqual(await behind(), []);
    });

    it('an approved device that never fetched a certificate does not count as behind', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const unseen = sampleDevice({ state: 'approved', lastSeenAt: undefined });
      await registry.transact((tx) => tx.insertDevice(unseen));
      const behind = async () =>
        (await registry.devicesBehind({ since: after(50), limit: 10 })).map(({ id }) => id);
      assert.deepEqual(await behind(), [device.id]);
      const of = { device: unseen.id, issuer: certificate.issuerId };
      await registry.transact((tx) => tx.insertCertificate(sampleCertificate(of, { state: 'issued' })));
      assert.deepEqual((await behind()).sort(), [device.id, unseen.id].sort());
    });
  });
}
