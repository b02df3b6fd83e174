// Tests for every registry: certificates and their keys.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import {
  addDevice,
  after,
  pairingOfEveryShape,
  sampleCertificate,
  sampleHex,
  sampleUlid,
} from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';
import { rejects } from './suite-test.ts';

export function certificatesTests(name: string, it: SuiteTest): void {
  describe(`${name}: certificates`, () => {
    it('a certificate is read by serial and by fingerprint as it was written', async (registry) => {
      const { certificate } = await addDevice(registry);
      assert.deepEqual(await registry.certificate({ serial: certificate.serial }), certificate);
      assert.deepEqual(await registry.certificate({ fingerprint: certificate.fingerprint }), certificate);
      assert.equal(await registry.certificate({ serial: certificate.fingerprint }), undefined);
      assert.equal(await registry.certificate({ fingerprint: certificate.serial }), undefined);
    });

    it("a device's certificates are listed newest first, without those of other devices", async (registry) => {
      const { device, certificate: oldest } = await addDevice(registry);
      await addDevice(registry);
      const issuer = oldest.issuerId;
      const [newer, newest] = [1, 2].map((age) =>
        sampleCertificate({ device: device.id, issuer }, { createdAt: after(age) }),
      );
      assert.ok(newer && newest);
      await registry.transact(async (tx) => {
        await tx.insertCertificate(newest);
        await tx.insertCertificate(newer);
      });
      assert.deepEqual(await registry.certificatesOf(device.id, 10), [newest, newer, oldest]);
      assert.deepEqual(await registry.certificatesOf(device.id, 2), [newest, newer]);
      assert.deepEqual(await registry.certificatesOf(sampleUlid(), 10), []);
    });

    it('a device’s active and unused certificates are listed newest first, however old they are', async (registry) => {
      const { device, certificate } = await addDevice(registry, { certificate: { state: 'active' } });
      await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      const at = (ms: number) => new Date(certificate.createdAt.getTime() + ms);
      const unused = sampleCertificate(of, { state: 'issued', createdAt: at(1) });
      await registry.transact(async (tx) => {
        await tx.insertCertificate(unused);
        for (let count = 2; count < 120; count += 1)
          await tx.insertCertificate(
            sampleCertificate(of, { state: count % 2 ? 'superseded' : 'revoked', createdAt: at(count) }),
          );
      });
      assert.deepEqual(await registry.livingCertificates(device.id), [unused, certificate]);
      assert.deepEqual(await registry.livingCertificates(sampleUlid()), []);
      const { serial, subject, state } = unused;
      assert.deepEqual(await registry.unusedCertificates(device.id), [{ serial, subject, state }]);
    });

    it('a device’s certificates can be revoked unless they have ended or were revoked', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      const ends = certificate.notAfter;
      const revocable = [
        sampleCertificate(of, { state: 'superseded' }),
        sampleCertificate(of, { state: 'issued', notAfter: new Date(ends.getTime() + 1) }),
      ];
      await registry.transact(async (tx) => {
        for (const each of revocable) await tx.insertCertificate(each);
        await tx.insertCertificate(sampleCertificate(of, { state: 'revoked' }));
      });
      const serials = async (now: Date, limit = 10) =>
        (await registry.revocableCertificates({ deviceId: device.id, now, limit }))
          .map(({ serial }) => serial)
          .sort();
      const all = [certificate, ...revocable].map(({ serial }) => serial).sort();
      assert.deepEqual(await serials(new Date(ends.getTime() - 1)), all);
      // By a clock that may be ahead, only the superseded certificate has ended.
      const living = [certificate.serial, revocable[1]!.serial].sort();
      assert.deepEqual(await serials(new Date(ends.getTime() + 2)), living);
      assert.equal((await serials(certificate.notBefore, 2)).length, 2);
    });

    it('a serial and a fingerprint can be used only once, and the issuer must be known', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      for (const bad of [
        sampleCertificate(of, { serial: certificate.serial }),
        sampleCertificate(of, { fingerprint: certificate.fingerprint }),
        sampleCertificate({ ...of, issuer: sampleUlid() }),
      ]) {
        await rejects(
          registry.transact((tx) => tx.insertCertificate(bad)),
          'STORE_FAILED',
        );
      }
      assert.deepEqual(await registry.certificatesOf(device.id, 10), [certificate]);
    });

    it('a key is certified only once for any device, and a failed second attempt leaves nothing behind', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const { device: other } = await addDevice(registry);
      for (const { id } of [device, other]) {
        const of = { device: id, issuer: certificate.issuerId };
        await rejects(
          registry.transact(async (tx) => {
            await tx.putSetting('tried', 'yes');
            await tx.insertCertificate(sampleCertificate(of, { keySha256: certificate.keySha256 }));
          }),
          'KEY_IN_USE',
        );
      }
      assert.equal(await registry.setting('tried'), undefined);
    });

    it('a key counts as in use by another device, by its open request, and by any certificate', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const fresh = () => ({
        deviceId: sampleUlid(),
        identityKey: Uint8Array.from({ length: 32 }, (_, at) => at),
        tlsKey: Uint8Array.from({ length: 91 }, (_, at) => at),
        tlsKeySha256: Uint8Array.from({ length: 32 }, (_, at) => 255 - at),
      });
      assert.equal(await registry.keyInUse(fresh()), undefined);
      const { identityKey } = device;
      assert.equal(await registry.keyInUse({ ...fresh(), identityKey }), 'identity');
      assert.equal(await registry.keyInUse({ ...fresh(), identityKey, deviceId: device.id }), undefined);
      assert.equal(await registry.keyInUse({ ...fresh(), tlsKeySha256: certificate.keySha256 }), 'tls');
      for (const pairing of pairingOfEveryShape()) {
        await registry.transact((tx) => tx.insertPairing(pairing));
        if (!('request' in pairing) || !pairing.request) continue;
        const { deviceId, identityKey, tlsKey } = pairing.request;
        const counts = pairing.state === 'pending_approval' || pairing.state === 'approved';
        assert.equal(
          await registry.keyInUse({ ...fresh(), identityKey }),
          counts ? 'identity' : undefined,
          pairing.state,
        );
        assert.equal(await registry.keyInUse({ ...fresh(), identityKey, deviceId }), undefined);
        assert.equal(
          await registry.keyInUse({ ...fresh(), tlsKey }),
          counts ? 'tls' : undefined,
          pairing.state,
        );
      }
    });

    it('planned renewals are counted per interval, without past and far future ones', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      const [start, stepMs] = [new Date(1_000_000), 1_000];
      const planned = [-1, 0, 999, 1_000, 4_500, 5_000].map((ms) => new Date(start.getTime() + ms));
      await registry.transact(async (tx) => {
        for (const renewAt of planned) await tx.insertCertificate(sampleCertificate(of, { renewAt }));
      });
      const to = new Date(start.getTime() + 5_000);
      const counted = await registry.plannedRenewals({ from: start, to, stepMs });
      assert.deepEqual(
        counted.map(({ at, count }) => [at.getTime(), count]).sort(([one = 0], [other = 0]) => one - other),
        [
          [1_000_000, 2],
          [1_001_000, 1],
          [1_004_000, 1],
        ],
      );
      assert.deepEqual(
        (await registry.certificatesOf(device.id, 10))
          .map(({ renewAt }) => renewAt?.getTime() ?? 0)
          .sort((one, other) => one - other),
        [0, ...planned.map((each) => each.getTime())],
      );
    });

    it('a certificate changes state only from its current state', async (registry) => {
      const { certificate } = await addDevice(registry, { certificate: { state: 'issued' } });
      const move = (serial: string) =>
        registry.transact((tx) => tx.moveCertificate(serial, 'issued', 'active'));
      assert.equal(await move(certificate.serial), true);
      assert.equal(await move(certificate.serial), false);
      assert.equal(await move(sampleHex(16)), false);
      assert.equal((await registry.certificate({ serial: certificate.serial }))?.state, 'active');
    });

    it("a daemon's certificate is valid without a device, even if a device has the same id", async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const daemon = sampleCertificate(
        { device: device.id, issuer: certificate.issuerId },
        { subject: { kind: 'daemon', id: device.id } },
      );
      await registry.transact((tx) => tx.insertCertificate(daemon));
      const standing = await registry.standing(daemon.fingerprint);
      assert.equal(standing?.subjectKind, 'daemon');
      assert.equal(standing.deviceState, undefined);
      assert.deepEqual(await registry.certificate({ serial: daemon.serial }), daemon);
      assert.deepEqual(await registry.certificatesOf(device.id, 10), [certificate]);
    });

    it('the pace of the certificates of a device is found', async (registry) => {
      const { device, certificate } = await addDevice(registry, { certificate: { notAfter: after(500) } });
      const of = { device: device.id, issuer: certificate.issuerId };
      await registry.transact(async (tx) => {
        for (const at of [3, 1, 2])
          await tx.insertCertificate(
            sampleCertificate(of, { createdAt: after(at), notAfter: after(1000 - at) }),
          );
      });
      const pace = (burst: number, unpaced: number) =>
        registry.certificatePace({ deviceId: device.id, burst, unpaced });
      const { newest } = await pace(1, 1);
      assert.deepEqual(newest?.createdAt, after(3));
      const times = await Promise.all([1, 2, 3, 4, 5].map((number) => pace(number, number)));
      assert.deepEqual(
        times.map(({ unpacedEndsAt }) => unpacedEndsAt),
        [after(997), after(998), after(999), after(500), undefined],
      );
      assert.deepEqual(
        times.map(({ burstBeganAt }) => burstBeganAt),
        [after(3), after(2), after(1), certificate.createdAt, undefined],
      );
      assert.deepEqual(await registry.certificatePace({ deviceId: sampleUlid(), burst: 1, unpaced: 1 }), {
        newest: undefined,
        burstBeganAt: undefined,
        unpacedEndsAt: undefined,
      });
    });

    it('the newest certificate is the newest usable one', async (registry) => {
      assert.equal(await registry.newestCertificateAt(), undefined);
      const { device, certificate } = await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      const never = sampleCertificate(of, { createdAt: after(20), state: 'issued' });
      await registry.transact(async (tx) => {
        await tx.insertCertificate(never);
        await tx.insertCertificate(sampleCertificate(of, { createdAt: after(30), state: 'superseded' }));
        const daemon = { kind: 'daemon', id: device.id } as const;
        await tx.insertCertificate(sampleCertificate(of, { createdAt: after(40), subject: daemon }));
      });
      assert.deepEqual(await registry.newestCertificateAt(), after(20));
      await registry.transact((tx) => tx.moveCertificate(never.serial, 'issued', 'revoked'));
      assert.deepEqual(await registry.newestCertificateAt(), certificate.createdAt);
    });
  });
}
