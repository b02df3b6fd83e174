// What every registry must do, whatever database is under it. A new implementation passes this suite.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { hasCode, type IdentityErrorCode } from '@palyra/identity';
import {
  AUDIT_GENESIS_HASH,
  isDue,
  type Pairing,
  type Registry,
  type RegistryEvent,
  type RegistryTransaction,
  verifyAuditChain,
} from '@palyra/identity/registry';
import { clockToleranceMs, type Ulid } from '@palyra/identity/values';
import fc from 'fast-check';
import { anyPairing } from './any-pairing.ts';
import {
  addDevice,
  after,
  NOW,
  pairingOfEveryShape,
  quarantinedDevice,
  revokedDevice,
  sampleAuthority,
  sampleCertificate,
  sampleDevice,
  sampleEvent,
  sampleHex,
  sampleUlid,
  waitingPairing,
} from './samples.ts';

/** @param open makes an empty registry; the suite closes it. */
export function registrySuite(
  name: string,
  open: (onError: (error: unknown) => void) => Promise<Registry>,
): void {
  /** @param body takes what listeners threw out of `errors`. */
  const it = (title: string, body: (registry: Registry, errors: unknown[]) => Promise<void>): void => {
    test(title, async () => {
      const errors: unknown[] = [];
      const registry = await open((error) => errors.push(error));
      try {
        await body(registry, errors);
      } finally {
        await registry.close();
      }
      assert.deepEqual(errors, []);
    });
  };

  describe(`${name}: everything there is`, () => {
    it('certificates and pairings come in pages, each once, in order', async (registry) => {
      const added = [await addDevice(registry), await addDevice(registry), await addDevice(registry)];
      const shapes = pairingOfEveryShape();
      await registry.transact(async (tx) => {
        for (const pairing of shapes) await tx.insertPairing(pairing);
      });
      const serials = added.map(({ certificate }) => certificate.serial).sort();
      const first = await registry.certificates({ limit: 2 });
      const rest = await registry.certificates({ limit: 2, after: first.at(-1)!.serial });
      assert.deepEqual(
        [...first, ...rest].map(({ serial }) => serial),
        serials,
      );
      const half = await registry.allPairings({ limit: 5 });
      const others = await registry.allPairings({ limit: 100, after: half.at(-1)!.id });
      assert.deepEqual(
        [...half, ...others],
        shapes.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      );
    });

    it('revocations of a device and of one of its certificates are found apart, and rows are counted', async (registry) => {
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

    it('a snapshot stays as it was, and the registry goes on', async (registry) => {
      await addDevice(registry);
      await registry.transact((tx) => tx.appendAudit(sampleEvent()));
      const now = await registry.snapshot();
      try {
        await addDevice(registry);
        await registry.transact((tx) => tx.appendAudit(sampleEvent()));
        assert.equal((await now.counts()).devices, 1);
        assert.equal((await now.auditHead()).seq, 1);
        assert.equal((await registry.counts()).devices, 2);
      } finally {
        await now.close();
      }
    });
  });

  describe(`${name}: devices`, () => {
    it('a device is read as it was written, with everything and with nothing optional', async (registry) => {
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

    it('an update replaces the device and no other', async (registry) => {
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

    it('a device id can be used once', async (registry) => {
      const device = sampleDevice();
      await insertDevices(registry, device);
      await rejects(insertDevices(registry, sampleDevice({ id: device.id })), 'STORE_FAILED');
      assert.deepEqual(await registry.device(device.id), device);
    });

    it('pages meet every device once, in the order of their ids', async (registry) => {
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

    it('a search finds part of a name in any case, or the start of an id', async (registry) => {
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

    it('a limit that is not a whole number is misuse', async (registry) => {
      for (const limit of [-1, 0.5, Number.NaN]) {
        await assert.rejects(registry.devices({ limit }), TypeError);
        await assert.rejects(registry.audit({ limit }), TypeError);
      }
    });
  });

  describe(`${name}: certificates`, () => {
    it('a certificate is read by serial and by fingerprint as it was written', async (registry) => {
      const { certificate } = await addDevice(registry);
      assert.deepEqual(await registry.certificate({ serial: certificate.serial }), certificate);
      assert.deepEqual(await registry.certificate({ fingerprint: certificate.fingerprint }), certificate);
      assert.equal(await registry.certificate({ serial: certificate.fingerprint }), undefined);
      assert.equal(await registry.certificate({ fingerprint: certificate.serial }), undefined);
    });

    it("a device's certificates come newest first, without those of others", async (registry) => {
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

    it('of a device, those that are used or were never used come newest first, however old they are', async (registry) => {
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
    });

    it('of a device, those can be revoked that have not ended and were not revoked', async (registry) => {
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
      // By a clock that may be ahead, only the superseded one has ended.
      const living = [certificate.serial, revocable[1]!.serial].sort();
      assert.deepEqual(await serials(new Date(ends.getTime() + 2)), living);
      assert.equal((await serials(certificate.notBefore, 2)).length, 2);
    });

    it('a serial and a fingerprint can be used once, and the issuer must be known', async (registry) => {
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

    it('a key is certified once, whosever it is, and the change that tried it again leaves nothing', async (registry) => {
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

    it('keys are in use by another device, by its request while that counts, and by any certificate', async (registry) => {
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

    it('renewals that are planned are counted in steps, those of before and of long after left out', async (registry) => {
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

    it('a certificate moves from the state it is in, and only from that', async (registry) => {
      const { certificate } = await addDevice(registry, { certificate: { state: 'issued' } });
      const move = (serial: string) =>
        registry.transact((tx) => tx.moveCertificate(serial, 'issued', 'active'));
      assert.equal(await move(certificate.serial), true);
      assert.equal(await move(certificate.serial), false);
      assert.equal(await move(sampleHex(16)), false);
      assert.equal((await registry.certificate({ serial: certificate.serial }))?.state, 'active');
    });

    it('the standing joins the certificate, its issuing CA and the device as they are now', async (registry) => {
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

    it("a daemon's certificate stands without a device, even beside one of the same id", async (registry) => {
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

    it('a certificate of a device that is not there has no standing', async (registry) => {
      const { certificate } = await addDevice(registry);
      const stray = sampleCertificate({ device: sampleUlid(), issuer: certificate.issuerId });
      await registry.transact((tx) => tx.insertCertificate(stray));
      await rejects(registry.standing(stray.fingerprint), 'STORE_FAILED');
    });

    it('authorities are listed, and move from the state they are in', async (registry) => {
      const root = sampleAuthority({ tier: 'root', notBefore: after(-5) });
      const issuing = sampleAuthority();
      await registry.transact(async (tx) => {
        await tx.insertAuthority(issuing);
        await tx.insertAuthority(root);
      });
      assert.deepEqual(await registry.authorities(), [root, issuing]);
      const move = (id: Ulid) => registry.transact((tx) => tx.moveAuthority(id, 'active', 'retired'));
      assert.equal(await move(issuing.id), true);
      assert.deepEqual(await registry.authorities(), [root, { ...issuing, state: 'retired' }]);
      assert.equal(await move(issuing.id), false);
      assert.equal(await move(sampleUlid()), false);
    });

    it('the end of an older certificate is that of the one after so many newer', async (registry) => {
      const { device, certificate } = await addDevice(registry, { certificate: { notAfter: after(500) } });
      const of = { device: device.id, issuer: certificate.issuerId };
      await registry.transact(async (tx) => {
        for (const at of [3, 1, 2])
          await tx.insertCertificate(
            sampleCertificate(of, { createdAt: after(at), notAfter: after(1000 - at) }),
          );
      });
      const ends = await Promise.all(
        [0, 1, 2, 3, 4].map((newer) => registry.endOfOlderCertificate(device.id, newer)),
      );
      assert.deepEqual(ends, [after(997), after(998), after(999), after(500), undefined]);
    });

    it('the revoked certificates of one authority come page by page, in order of their end', async (registry) => {
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

    it('a revoked certificate without the time of its revocation counts as revoked from its making', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const of = { device: device.id, issuer: certificate.issuerId };
      const bare = sampleCertificate(of, { state: 'revoked', createdAt: after(3) });
      await registry.transact((tx) => tx.insertCertificate(bare));
      const start = { notAfter: after(0), serial: '' };
      const [row] = await registry.revokedCertificates({ issuerId: of.issuer, after: start, limit: 10 });
      assert.deepEqual(row, { serial: bare.serial, revokedAt: after(3), notAfter: bare.notAfter });
    });

    it('a device is behind until it uses a certificate that is new enough', async (registry) => {
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

    it('the newest certificate is the one of a device that may be used', async (registry) => {
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

    it('revocations come newest first, of devices and of single certificates', async (registry) => {
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

  describe(`${name}: pairings`, () => {
    it('any pairing survives write and read, as a new row and in the place of another', async (registry) => {
      const undo = new Error('undo');
      const property = fc.asyncProperty(anyPairing, anyPairing, async (first, second) => {
        const work = registry.transact(async (tx) => {
          await tx.insertPairing(first);
          assert.deepEqual(await tx.pairing(first.id), first);
          const stored = await tx.replacePairing(first, { ...second, id: first.id });
          assert.deepEqual(stored, { ...second, id: first.id, revision: first.revision + 1 });
          assert.deepEqual(await tx.pairing(first.id), stored);
          throw undo;
        });
        await assert.rejects(work, (error) => {
          if (error !== undo) throw error;
          return true;
        });
      });
      await fc.assert(property, { numRuns: 300 });
    });

    it('a slot names one waiting pairing, and is free again once that moved on', async (registry) => {
      const first = waitingPairing({ slot: '123' });
      await insertPairings(registry, first);
      assert.deepEqual(await registry.waitingPairing('123'), first);
      assert.equal(await registry.waitingPairing('124'), undefined);
      await rejects(insertPairings(registry, waitingPairing({ slot: '123' })), 'PAIRING_STATE_CONFLICT');

      await registry.transact((tx) => tx.replacePairing(first, { ...ended(first), state: 'expired' }));
      assert.equal(await registry.waitingPairing('123'), undefined);
      const second = waitingPairing({ slot: '123' });
      await insertPairings(registry, second);
      assert.deepEqual(await registry.waitingPairing('123'), second);
    });

    it('a refused slot does not end the transaction', async (registry) => {
      await insertPairings(registry, waitingPairing({ slot: '123' }));
      const other = waitingPairing({ slot: '124' });
      await registry.transact(async (tx) => {
        await rejects(tx.insertPairing(waitingPairing({ slot: '123' })), 'PAIRING_STATE_CONFLICT');
        await tx.insertPairing(other);
      });
      assert.deepEqual(await registry.waitingPairing('124'), other);
    });

    it('a serial names the issued pairing, not the active one', async (registry) => {
      const pairings = pairingOfEveryShape();
      await insertPairings(registry, ...pairings);
      for (const pairing of pairings) {
        if (!('serial' in pairing)) continue;
        const expected = pairing.state === 'issued' ? pairing : undefined;
        assert.deepEqual(await registry.issuedPairing(pairing.serial), expected);
      }
    });

    it('a replacement counts the revision, and a stale one is PAIRING_STATE_CONFLICT', async (registry) => {
      const seen = waitingPairing({ revision: 4 });
      await insertPairings(registry, seen);
      const next = { ...seen, guessesLeft: 2, guessesTaken: 1 };
      const stored = await registry.transact((tx) => tx.replacePairing(seen, next));
      assert.deepEqual(stored, { ...next, revision: 5 });
      assert.deepEqual(await registry.pairing(seen.id), stored);
      await rejects(
        registry.transact((tx) => tx.replacePairing(seen, { ...seen, guessesLeft: 0 })),
        'PAIRING_STATE_CONFLICT',
      );
      await rejects(
        registry.transact((tx) => tx.replacePairing(waitingPairing(), seen)),
        TypeError,
      );
      const unknown = waitingPairing();
      await rejects(
        registry.transact((tx) => tx.replacePairing(unknown, unknown)),
        'PAIRING_STATE_CONFLICT',
      );
      assert.deepEqual(await registry.pairing(seen.id), stored);
    });

    it('of two that take the same guess, one succeeds', async (registry) => {
      const seen = waitingPairing();
      await insertPairings(registry, seen);
      const take = () => registry.transact((tx) => tx.replacePairing(seen, { ...seen, guessesLeft: 2 }));
      const results = await Promise.allSettled([take(), take()]);
      assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected']);
      assert.equal((await registry.pairing(seen.id))?.revision, 1);
    });

    it('pairings come newest first, of all states or of some', async (registry) => {
      const pairings = pairingOfEveryShape().map((pairing, age) => ({ ...pairing, createdAt: after(age) }));
      await insertPairings(registry, ...pairings);
      const newestFirst = pairings.toReversed();
      assert.deepEqual(await registry.pairings({ limit: 100 }), newestFirst);
      assert.deepEqual(await registry.pairings({ limit: 2 }), newestFirst.slice(0, 2));
      assert.deepEqual(
        await registry.pairings({ states: ['waiting', 'expired'], limit: 100 }),
        newestFirst.filter((pairing) => pairing.state === 'waiting' || pairing.state === 'expired'),
      );
      assert.deepEqual(await registry.pairings({ states: [], limit: 100 }), []);
    });

    it('due are those of which the library says so, oldest end first', async (registry) => {
      const tolerance = clockToleranceMs;
      const madeAndEnd = [
        [0, 100],
        [0, 90],
        [tolerance + 50, 3 * tolerance],
        [tolerance + 60, 2 * tolerance],
        [tolerance + 60, 80],
      ] as const;
      const dated = madeAndEnd.flatMap(([made, end]) =>
        pairingOfEveryShape().map((pairing): Pairing => {
          const createdAt = after(made);
          return 'expiresAt' in pairing
            ? { ...pairing, createdAt, expiresAt: after(end) }
            : { ...pairing, createdAt };
        }),
      );
      await insertPairings(registry, ...dated);
      const endOf = (pairing: Pairing) => ('expiresAt' in pairing ? pairing.expiresAt.getTime() : 0);
      const inOrder = (a: Pairing, b: Pairing) => endOf(a) - endOf(b) || (a.id < b.id ? -1 : 1);
      for (const at of [-tolerance, 0, 49, 50, 59, 60, 79, 80, 90, 99, 100, 2 * tolerance, 4 * tolerance]) {
        const due = dated.filter((pairing) => isDue(pairing, after(at))).sort(inOrder);
        assert.deepEqual(await registry.duePairings(after(at), 100), due, `at ${at}`);
        assert.deepEqual(await registry.duePairings(after(at), 3), due.slice(0, 3), `the first at ${at}`);
      }
    });

    it('counts follow every change', async (registry) => {
      assert.deepEqual(await registry.counts(), { devices: 0, pendingRequests: 0, waitingCodes: 0 });
      await insertDevices(registry, sampleDevice(), sampleDevice());
      await insertPairings(registry, ...pairingOfEveryShape(), waitingPairing());
      assert.deepEqual(await registry.counts(), { devices: 2, pendingRequests: 1, waitingCodes: 2 });
      const [waiting] = await registry.pairings({ states: ['waiting'], limit: 1 });
      assert.ok(waiting);
      await registry.transact((tx) => tx.replacePairing(waiting, { ...ended(waiting), state: 'exhausted' }));
      assert.deepEqual(await registry.counts(), { devices: 2, pendingRequests: 1, waitingCodes: 1 });
    });
  });

  describe(`${name}: the audit chain`, () => {
    it('starts at the genesis hash and verifies after every row', async (registry) => {
      assert.deepEqual(await registry.auditHead(), { seq: 0, hash: AUDIT_GENESIS_HASH });
      assert.deepEqual(await verify(registry), { ok: true, rows: 0, headHash: AUDIT_GENESIS_HASH });
      for (const rows of [1, 2, 3]) {
        await registry.transact((tx) => tx.appendAudit(sampleEvent({ at: after(rows) })));
        const head = await registry.auditHead();
        assert.equal(head.seq, rows);
        assert.deepEqual(await verify(registry), { ok: true, rows, headHash: head.hash });
      }
    });

    it('the same facts are the same bytes', async (registry) => {
      const event = sampleEvent({ detail: { words: 'a "b"', 10: 1, 9: true, name: 'ł' } });
      await registry.transact((tx) => tx.appendAudit(event));
      const [row] = await registry.audit({ limit: 1 });
      assert.equal(row?.detailJson, '{"10":1,"9":true,"name":"ł","words":"a \\"b\\""}');
      assert.equal(row.atMs, event.at.getTime());
      assert.equal(row.action, event.action);
      assert.equal(row.subject, event.subject);
    });

    it('rows come newest first, before a row, and about one subject', async (registry) => {
      await registry.transact(async (tx) => {
        for (const subject of ['a', 'b', 'a', 'b', 'aa']) await tx.appendAudit(sampleEvent({ subject }));
      });
      const seqs = async (query: Parameters<typeof registry.audit>[0]) =>
        (await registry.audit(query)).map((row) => row.seq);
      assert.deepEqual(await seqs({ limit: 10 }), [5, 4, 3, 2, 1]);
      assert.deepEqual(await seqs({ limit: 2, before: 4 }), [3, 2]);
      assert.deepEqual(await seqs({ limit: 10, subject: 'a' }), [3, 1]);
      assert.deepEqual(await seqs({ limit: 10, subject: 'a', before: 3 }), [1]);
      await registry.transact((tx) =>
        tx.appendAudit(sampleEvent({ subject: 'a', action: 'recovery.asked' })),
      );
      await registry.transact((tx) => tx.appendAudit(sampleEvent({ subject: 'a' })));
      assert.deepEqual(await seqs({ limit: 1, subject: 'a', action: 'recovery.asked' }), [6]);
    });

    it('all rows come in order, over many pages, while changes go on', async (registry) => {
      const rows = 1201;
      await registry.transact(async (tx) => {
        for (let row = 0; row < rows; row += 1) await tx.appendAudit(sampleEvent());
      });
      const seqs: number[] = [];
      for await (const row of registry.auditRows()) {
        if (row.seq === 700) await registry.transact((tx) => tx.appendAudit(sampleEvent()));
        seqs.push(row.seq);
      }
      assert.deepEqual(
        seqs,
        Array.from({ length: rows + 1 }, (_, index) => index + 1),
      );
    });
  });

  describe(`${name}: transactions`, () => {
    it('a change returns what its work returns, and a setting can be written again', async (registry) => {
      assert.equal(await registry.setting('color'), undefined);
      const result = await registry.transact(async (tx) => {
        await tx.putSetting('color', 'green');
        await tx.putSetting('colour', 'red');
        return 7;
      });
      assert.equal(result, 7);
      await registry.transact((tx) => tx.putSetting('color', 'blue'));
      assert.equal(await registry.setting('color'), 'blue');
      assert.equal(await registry.setting('colour'), 'red');
    });

    it('what throws leaves nothing behind, and is thrown on', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const waiting = waitingPairing();
      await insertPairings(registry, waiting);
      await registry.transact((tx) => tx.appendAudit(sampleEvent()));
      const before = await everything(registry);
      const told: RegistryEvent[] = [];
      registry.subscribe((event) => told.push(event));

      const failure = new Error('changed my mind');
      const work = registry.transact(async (tx) => {
        await doEverything(tx, { device, certificate, waiting });
        throw failure;
      });
      await assert.rejects(work, (error) => error === failure);
      assert.deepEqual(await everything(registry), before);
      assert.deepEqual(told, []);
    });

    it('a change sees its own writes', async (registry) => {
      await registry.transact(async (tx) => {
        const [device, authority, waiting] = [sampleDevice(), sampleAuthority(), waitingPairing()];
        const certificate = sampleCertificate({ device: device.id, issuer: authority.id });
        await tx.insertAuthority(authority);
        await tx.insertDevice(device);
        await tx.insertCertificate(certificate);
        await tx.insertPairing(waiting);
        await tx.appendAudit(sampleEvent());
        assert.deepEqual(await tx.device(device.id), device);
        assert.equal((await tx.standing(certificate.fingerprint))?.deviceState, 'active');
        assert.deepEqual(await tx.waitingPairing(waiting.slot), waiting);
        assert.deepEqual(await tx.counts(), { devices: 1, pendingRequests: 0, waitingCodes: 1 });
        assert.equal((await tx.auditHead()).seq, 1);
      });
    });

    it('nobody else sees what is not committed', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const waiting = waitingPairing();
      await insertPairings(registry, waiting);
      const before = await everything(registry);

      const started = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const work = registry.transact(async (tx) => {
        await doEverything(tx, { device, certificate, waiting });
        started.resolve();
        await goOn.promise;
        throw new Error('never mind');
      });
      await started.promise;
      const seen = everything(registry);
      const standing = registry.standing(certificate.fingerprint);
      // Time for a reader that does not wait to look.
      await new Promise((resolve) => setImmediate(resolve));
      goOn.resolve();
      await assert.rejects(work, /never mind/);
      assert.equal((await standing)?.deviceState, 'active');
      assert.deepEqual(await seen, before);
    });

    it('its count of changes moves with a commit, not before it, and by the time anybody hears of it', async (registry) => {
      const seen: number[] = [];
      registry.subscribe(() => seen.push(registry.changes));
      const before = registry.changes;
      await registry.transact(async (tx) => {
        await tx.putSetting('name', 'x');
        tx.emit({ type: 'device_revoked', deviceId: sampleUlid() });
        seen.push(registry.changes);
      });
      const after = registry.changes;
      assert.notEqual(after, before);
      assert.deepEqual(seen, [before, after]);
      await registry.setting('name');
      assert.equal(registry.changes, after);
    });

    it('changes happen one after the other', async (registry) => {
      const add = () =>
        registry.transact(async (tx) => {
          const sum = Number((await tx.setting('sum')) ?? 0);
          await tx.putSetting('sum', String(sum + 1));
        });
      await Promise.all(Array.from({ length: 50 }, add));
      assert.equal(await registry.setting('sum'), '50');
    });

    it('of changes that come at one time, one that fails leaves nothing behind, and the others are made', async (registry) => {
      const told: RegistryEvent[] = [];
      registry.subscribe((event) => told.push(event));
      const change = (number: number) =>
        registry.transact(async (tx) => {
          await tx.putSetting(`made ${number}`, 'x');
          await tx.appendAudit(sampleEvent());
          tx.emit({ type: 'device_revoked', deviceId: sampleUlid() });
          if (number % 3 === 1) throw new Error(`not ${number}`);
          return number;
        });
      const outcomes = await Promise.allSettled(Array.from({ length: 9 }, (_, number) => change(number)));
      for (const [number, outcome] of outcomes.entries()) {
        const isFailed = number % 3 === 1;
        assert.equal(outcome.status, isFailed ? 'rejected' : 'fulfilled');
        assert.equal(await registry.setting(`made ${number}`), isFailed ? undefined : 'x');
      }
      assert.equal(told.length, 6);
      const head = await registry.auditHead();
      assert.equal(head.seq, 6);
      assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
    });

    it('readers get their turn between changes', async (registry) => {
      const order: string[] = [];
      const change = async (title: string) => {
        await registry.transact((tx) => tx.putSetting('title', title));
        order.push(title);
      };
      // More than are made together.
      const changes = Array.from({ length: 100 }, (_, number) => change(`${number}`));
      await changes[0];
      const read = registry.setting('title').then((title) => order.push(`read ${title}`));
      await Promise.all([...changes, read]);
      assert.notEqual(order.at(-1), 'read 99');
    });

    it('a failed statement that the work passes over still undoes the whole change', async (registry) => {
      const device = sampleDevice();
      await insertDevices(registry, device);
      const work = registry.transact(async (tx) => {
        await tx.putSetting('before', 'x');
        await tx.insertDevice(device).catch(() => undefined);
        // What follows is refused, because it could be outside the transaction by now.
        await rejects(tx.putSetting('after', 'x'), 'STORE_FAILED');
        await rejects(tx.counts(), 'STORE_FAILED');
      });
      await rejects(work, 'STORE_FAILED');
      assert.equal(await registry.setting('before'), undefined);
      assert.equal(await registry.setting('after'), undefined);
      assert.equal((await registry.counts()).devices, 1);
    });

    it('a transaction that is over cannot be used', async (registry) => {
      const kept: RegistryTransaction[] = [];
      await registry.transact(async (tx) => void kept.push(tx));
      const failed = registry.transact(async (tx) => {
        kept.push(tx);
        throw new Error('no');
      });
      await assert.rejects(failed, /no/);
      assert.equal(kept.length, 2);
      for (const tx of kept) {
        await assert.rejects(tx.putSetting('late', 'x'), TypeError);
        await assert.rejects(tx.setting('late'), TypeError);
      }
      assert.equal(await registry.setting('late'), undefined);
    });
  });

  describe(`${name}: events and the end`, () => {
    const revoked = (deviceId = sampleUlid()): RegistryEvent => ({ type: 'device_revoked', deviceId });

    it('events come after the commit, in the order of changes and within them', async (registry) => {
      const events = [revoked(), revoked(), revoked()] as const;
      const told: RegistryEvent[] = [];
      const settings: Promise<string | undefined>[] = [];
      registry.subscribe((event) => {
        told.push(event);
        settings.push(registry.setting('done'));
      });
      const first = registry.transact(async (tx) => {
        tx.emit(events[0]);
        tx.emit(events[1]);
        await tx.putSetting('done', 'yes');
        assert.deepEqual(told, []);
      });
      const second = registry.transact(async (tx) => tx.emit(events[2]));
      await first;
      assert.deepEqual(told.slice(0, 2), events.slice(0, 2));
      await second;
      assert.deepEqual(told, events);
      assert.deepEqual(await Promise.all(settings), ['yes', 'yes', 'yes']);
    });

    it('a listener that fails disturbs nobody, and its error is reported', async (registry, errors) => {
      const told: RegistryEvent[] = [];
      for (const listen of [registry.enforce, registry.subscribe]) {
        listen.call(registry, () => {
          throw new Error('careless');
        });
        listen.call(registry, async () => {
          throw new Error('careless later');
        });
      }
      registry.subscribe((event) => told.push(event));
      const event = revoked();
      await registry.transact(async (tx) => {
        await tx.putSetting('kept', 'yes');
        tx.emit(event);
      });
      assert.deepEqual(told, [event]);
      assert.equal(await registry.setting('kept'), 'yes');
      const messages = errors.splice(0).map((error) => (error as Error).message);
      assert.deepEqual(messages.sort(), ['careless', 'careless', 'careless later', 'careless later']);
    });

    it('what enforces a change is told before what looks on, whichever came first and however many changes', async (registry) => {
      const told: string[] = [];
      registry.subscribe(() => told.push('looked on'));
      registry.enforce(() => told.push('enforced'));
      registry.subscribe(() => told.push('looked on'));
      // Those that wait for each other are committed together.
      await Promise.all([1, 2].map(() => registry.transact(async (tx) => tx.emit(revoked()))));
      assert.equal(told.length, 6);
      const order = told.join(' ');
      assert.ok(
        order === 'enforced enforced looked on looked on looked on looked on' ||
          order === 'enforced looked on looked on enforced looked on looked on',
        order,
      );
    });

    it('a subscription ends alone', async (registry) => {
      const told: string[] = [];
      const endFirst = registry.subscribe(() => told.push('first'));
      registry.subscribe(() => told.push('second'));
      await registry.transact(async (tx) => tx.emit(revoked()));
      endFirst();
      endFirst();
      await registry.transact(async (tx) => tx.emit(revoked()));
      assert.deepEqual(told, ['first', 'second', 'second']);
    });

    it('closing lets the changes before it finish, and refuses what comes after', async (registry) => {
      const told: RegistryEvent[] = [];
      registry.subscribe((event) => told.push(event));
      const changes = [1, 2, 3].map(() => registry.transact(async (tx) => tx.emit(revoked())));
      await Promise.all([registry.close(), registry.close()]);
      assert.equal(told.length, 3);
      await Promise.all(changes);
      await rejects(registry.setting('x'), 'STORE_FAILED');
      await rejects(
        registry.transact(async () => undefined),
        'STORE_FAILED',
      );
      await registry.close();
    });
  });
}

export function sha256Hex(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

async function verify(registry: Registry) {
  return verifyAuditChain(registry.auditRows(), await registry.auditHead(), sha256Hex);
}

async function rejects(
  work: Promise<unknown>,
  expected: IdentityErrorCode | typeof TypeError,
): Promise<void> {
  if (typeof expected !== 'string') return assert.rejects(work, expected);
  await assert.rejects(work, (error) => {
    assert.ok(hasCode(error, expected), `expected ${expected}, got ${error}`);
    return true;
  });
}

async function insertDevices(
  registry: Registry,
  ...devices: Parameters<RegistryTransaction['insertDevice']>[0][]
) {
  await registry.transact(async (tx) => {
    for (const device of devices) await tx.insertDevice(device);
  });
}

async function insertPairings(registry: Registry, ...pairings: Pairing[]) {
  await registry.transact(async (tx) => {
    for (const pairing of pairings) await tx.insertPairing(pairing);
  });
}

/** What every state has. */
function ended({
  id,
  revision,
  codeKind,
  slot,
  createdAt,
  autoApprovedBy,
  guessesLeft,
  guessesTaken,
}: Pairing) {
  return { id, revision, codeKind, slot, createdAt, autoApprovedBy, guessesLeft, guessesTaken };
}

async function everything(registry: Registry) {
  return {
    devices: await registry.devices({ limit: 100 }),
    authorities: await registry.authorities(),
    pairings: await registry.pairings({ limit: 100 }),
    revocations: await registry.revocations({ limit: 100 }),
    setting: await registry.setting('everything'),
    counts: await registry.counts(),
    audit: await registry.audit({ limit: 100 }),
    head: await registry.auditHead(),
  };
}

/** Every method that changes something, once. */
async function doEverything(
  tx: RegistryTransaction,
  { device, certificate, waiting }: Awaited<ReturnType<typeof addDevice>> & { waiting: Pairing },
): Promise<void> {
  const authority = sampleAuthority();
  await tx.insertAuthority(authority);
  await tx.moveAuthority(certificate.issuerId, 'active', 'retired');
  await tx.insertDevice(sampleDevice());
  await tx.updateDevice(revokedDevice(device));
  await tx.insertCertificate(sampleCertificate({ device: device.id, issuer: authority.id }));
  await tx.moveCertificate(certificate.serial, 'active', 'revoked');
  await tx.insertPairing(waitingPairing());
  await tx.replacePairing(waiting, { ...waiting, guessesLeft: 1 });
  await tx.insertRevocation({ at: NOW, deviceId: device.id, serial: undefined, reason: 'lost' });
  await tx.putSetting('everything', 'done');
  await tx.appendAudit(sampleEvent());
  tx.emit({ type: 'device_revoked', deviceId: device.id });
}
