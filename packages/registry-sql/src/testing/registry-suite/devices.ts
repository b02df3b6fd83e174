// Tests for every registry: devices.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import {
  addDevice,
  after,
  quarantinedDevice,
  revokedDevice,
  sampleCertificate,
  sampleDevice,
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
