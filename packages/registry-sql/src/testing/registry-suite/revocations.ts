// Tests for every registry: revocations and the contents of a revocation list.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { addDevice, after, NOW, sampleCertificate, sampleUlid } from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';

export function revocationsTests(name: string, it: SuiteTest): void {
  describe(`${name}: revocations`, () => {
    it('revocations of a device and of one certificate are found separately, and rows are counted', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const of = { at: NOW, deviceId: device.id, reason: 'lost' };
      await registry.transact(async (tx) => {
        await tx.insertRevocation({ ...of, serial: undefined });
        await tx.insertRevocation({ ...of, serial: certificate.serial });
      });
      for (const serial of [undefined, certificate.serial])
        assert.deepEqual(await registry.revocationsOf({ deviceId: device.id, serial }), [{ ...of, serial }]);
      assert.deepEqual(await registry.revocationsOf({ deviceId: sampleUlid(), serial: undefined }), []);
      assert.deepEqual(await registry.rowCounts(), { devices: 1, revocations: 2 });
    });

    it('the revoked certificates of one authority are listed in pages, in order of their end', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const issuerId = certificate.issuerId;
      const of = { device: device.id, issuer: issuerId };
      const ends = [10, 20, 20, 20, 30, 40];
      const revoked = ends.map((end) => sampleCertificate(of, { notAfter: after(end), state: 'revoked' }));
      const used = sampleCertificate(of, { notAfter: after(20) });
      await registry.transact(async (tx) => {
        for (const each of [...revoked.toReversed(), used]) await tx.insertCertificate(each);
        for (const [at, { serial }] of revoked.entries())
          await tx.insertRevocation({ at: after(at), deviceId: device.id, serial, reason: '' });
        await tx.insertRevocation({ at: after(6), deviceId: device.id, serial: undefined, reason: 'all' });
      });
      const rows = revoked.map(({ serial, notAfter }, at) => ({ serial, revokedAt: after(at), notAfter }));
      const page = (start: { notAfter: Date; serial: string }, limit: number) =>
        registry.revokedCertificates({ issuerId, after: start, limit });
      assert.deepEqual(await page({ notAfter: after(11), serial: '' }, 10), rows.slice(1));
      for (const limit of [1, 2, 3]) {
        const met = [];
        let last = { notAfter: after(0), serial: '' };
        for (let rest = await page(last, limit); rest.length > 0; rest = await page(last, limit)) {
          for (const each of rest) met.push(each);
          last = rest.at(-1)!;
        }
        assert.deepEqual(met, rows);
      }
      const other = { issuerId: sampleUlid(), after: { notAfter: after(0), serial: '' }, limit: 10 };
      assert.deepEqual(await registry.revokedCertificates(other), []);
    });

    it('a revoked certificate without a time of revocation counts as revoked since its creation', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      const bare = sampleCertificate(of, { state: 'revoked', createdAt: after(3) });
      await registry.transact((tx) => tx.insertCertificate(bare));
      const start = { notAfter: after(0), serial: '' };
      const [row] = await registry.revokedCertificates({ issuerId: of.issuer, after: start, limit: 10 });
      assert.deepEqual(row, { serial: bare.serial, revokedAt: after(3), notAfter: bare.notAfter });
    });

    it('revocations of devices and of single certificates are listed newest first', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const one = { at: NOW, deviceId: device.id, serial: certificate.serial, reason: 'key copied' };
      const all = { at: after(1), deviceId: device.id, serial: undefined, reason: 'lost' };
      await registry.transact(async (tx) => {
        await tx.insertRevocation(all);
        await tx.insertRevocation(one);
      });
      assert.deepEqual(await registry.revocations({ limit: 10 }), [all, one]);
      assert.deepEqual(await registry.revocations({ limit: 1 }), [all]);
    });
  });
}
