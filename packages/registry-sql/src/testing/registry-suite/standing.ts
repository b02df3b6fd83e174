// Tests for every registry: the standing of a certificate, which every connection and call reads.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { addDevice, revokedDevice, sampleCertificate, sampleUlid } from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';
import { rejects } from './suite-test.ts';

export function standingTests(name: string, it: SuiteTest): void {
  describe(`${name}: standings`, () => {
    it('the standing combines the current certificate, its issuing CA and the device', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const standing = {
        serial: certificate.serial,
        subjectKind: 'device',
        subjectId: device.id,
        certificateState: 'active',
        notBeforeMs: certificate.notBefore.getTime(),
        notAfterMs: certificate.notAfter.getTime(),
        deviceState: 'active',
        deviceRole: 'device',
        deviceName: device.name,
        renewAtMs: certificate.renewAt?.getTime(),
        issuerId: certificate.issuerId,
        issuerState: 'active',
      };
      assert.deepEqual(await registry.standing(certificate.fingerprint), standing);
      assert.equal(await registry.standing(certificate.serial), undefined);
      assert.deepEqual(await registry.standingBySerial(certificate.serial), standing);
      assert.equal(await registry.standingBySerial(certificate.fingerprint), undefined);
      await registry.transact(async (tx) => {
        await tx.updateDevice(revokedDevice(device));
        await tx.moveCertificate(certificate.serial, 'active', 'superseded');
        await tx.moveAuthority(certificate.issuerId, 'active', 'retired');
      });
      assert.deepEqual(await registry.standing(certificate.fingerprint), {
        ...standing,
        issuerState: 'retired',
        certificateState: 'superseded',
        deviceState: 'revoked',
        deviceRole: 'device',
      });
    });

    it('a certificate of an unknown device has no standing', async (registry) => {
      const { certificate } = await addDevice(registry);
      const stray = sampleCertificate({ device: sampleUlid(), issuer: certificate.issuerId });
      await registry.transact((tx) => tx.insertCertificate(stray));
      await rejects(registry.standing(stray.fingerprint), 'STORE_FAILED');
    });
  });
}
