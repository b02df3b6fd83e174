// Renewal and recovery over real connections: no device is locked out, and no refused certificate works again.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { FilesystemSecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  loadEnrollments,
  type PairedEnrollment,
  renewCertificate,
  storeEnrollment,
} from '@palyra/identity/device';
import { masterKeyFromText } from '@palyra/identity/keys';
import type { KeyProof } from '@palyra/identity/pairing';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute, second } from '../testing/held-clock.ts';
import { recover, renew, serialOf, statesOf } from '../testing/renewals.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, sameIdOtherKey } from '../testing/sample-device.ts';
import { mountSmallDisk } from '../testing/small-disk.ts';

test('a renewed certificate becomes active when it is used, and only then is the old one superseded', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const old = await pair(daemon, device);
  const renewed = await renew(daemon, device, old);
  assert.notDeepEqual(renewed.tlsKey, old.tlsKey);
  assert.deepEqual(await statesOf(daemon, device), {
    [serialOf(old)]: 'active',
    [serialOf(renewed)]: 'issued',
  });
  // The answer could have been lost, so the old certificate still works.
  await (await daemon.node(old)).status({});
  await (await daemon.node(renewed)).status({});
  assert.deepEqual(await statesOf(daemon, device), {
    [serialOf(old)]: 'superseded',
    [serialOf(renewed)]: 'active',
  });
  await expectCode((await daemon.node(old)).status({}), 'CERTIFICATE_SUPERSEDED');
  assert.deepEqual(await loadEnrollments(device.secrets), [renewed]);
});

test('lost answers lock no device out, and do not accumulate', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const lost: PairedEnrollment[] = [];
  for (let count = 0; count < 10; count += 1) {
    clock.advance(second);
    lost.push(await (count < 5 ? renew : recover)(daemon, device, enrollment));
  }
  const states = await statesOf(daemon, device);
  assert.equal(states[serialOf(enrollment)], 'active');
  const unused = lost.map((each) => states[serialOf(each)]);
  assert.deepEqual(unused, [...Array(2).fill('superseded'), ...Array(8).fill('issued')]);
  const { devices } = await daemon.admin.listDevices({});
  const { notAfter } = readPeerCertificate(enrollment.certificateChain[0]!);
  assert.equal(
    Number(devices[0]!.certificateNotAfterMs),
    notAfter.getTime(),
    'the end of the certificate in use',
  );
  await expectCode((await daemon.node(lost[1]!)).status({}), 'CERTIFICATE_SUPERSEDED');
  await (await daemon.node(lost[2]!)).status({});
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a device with a full disk stops before it asks the daemon, and renews when there is space', async (t) => {
  const disk = await mountSmallDisk(t, 256 * 1024);
  if (!disk) return;
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const masterKey = masterKeyFromText('7'.repeat(64));
  const secrets = await FilesystemSecretStore.open({ path: join(disk.path, 'secrets'), masterKey });
  t.after(() => secrets.close());
  await storeEnrollment(secrets, enrollment);
  await disk.fill();
  const onDisk = { ...device, secrets };
  await expectCode(renew(daemon, onDisk, enrollment), 'STORE_FULL');
  await expectCode(recover(daemon, onDisk, enrollment), 'STORE_FULL');
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['active']);
  await disk.free();
  const renewed = await renew(daemon, onDisk, enrollment);
  await (await daemon.node(renewed)).status({});
  assert.deepEqual(await loadEnrollments(secrets), [renewed]);
  assert.deepEqual((await secrets.list()).length, 1);
});

test('a device cannot fill the registry with certificates, even if it uses each', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  let enrollment = await pair(daemon, device);
  for (let count = 1; count < 20; count += 1) enrollment = await renew(daemon, device, enrollment);
  const limited = await expectCode(renew(daemon, device, enrollment), 'TOO_MANY_REQUESTS');
  assert.equal(limited.retryAfterMs, 10 * minute);
  await (await daemon.node(enrollment)).status({});
  clock.advance(10 * minute);
  await renew(daemon, device, enrollment);
});

test('a device with very many unexpired certificates gets more at a limited pace, without waiting for one to expire', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  const { registry } = daemon.running.identity;
  const [newest] = await registry.certificatesOf(device.identity.id, 1);
  clock.advance(12 * hour);
  await registry.transact(async (tx) => {
    for (let count = 2; count < 500; count += 1) {
      const hex = count.toString(16);
      await tx.insertCertificate({
        ...newest!,
        serial: `01${hex.padStart(30, '0')}`,
        fingerprint: hex.padStart(64, '0'),
        keySha256: new Uint8Array(Buffer.from(hex.padStart(64, '0'), 'hex')),
        createdAt: new Date(newest!.createdAt.getTime() + count),
        state: 'superseded',
      });
    }
  });
  const renewed = await renew(daemon, device, enrollment);
  const limited = await expectCode(renew(daemon, device, enrollment), 'TOO_MANY_REQUESTS');
  const paceMs = day / 500;
  assert.equal(limited.retryAfterMs, paceMs);
  clock.advance(paceMs - 1);
  await expectCode(recover(daemon, device, enrollment), 'TOO_MANY_REQUESTS');
  clock.advance(1);
  await recover(daemon, device, enrollment);
  await (await daemon.node(renewed)).status({});
});

test('a renewal needs both keys: no signature may be missing, from another device, or for another key', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const node = await daemon.node(enrollment);
  const spoiled = (spoil: (proof: KeyProof) => KeyProof) =>
    renewCertificate(device, enrollment, (proof) => node.renew(spoil(proof)));
  const stranger = { ...device, identity: await sameIdOtherKey(device.identity) };
  await expectCode(
    spoiled((proof) => ({ ...proof, identitySignature: new Uint8Array(64) })),
    'PROOF_WRONG',
  );
  await expectCode(
    spoiled((proof) => ({ ...proof, tlsKeyProof: new Uint8Array(64) })),
    'PROOF_WRONG',
  );
  await expectCode(
    spoiled((proof) => ({ ...proof, tlsKeyProof: new Uint8Array(0) })),
    'PROOF_WRONG',
  );
  await expectCode(
    spoiled((proof) => ({ ...proof, tlsKey: proof.tlsKey.slice(1) })),
    'MESSAGE_INVALID',
  );
  await expectCode(
    renewCertificate(stranger, enrollment, (proof) => node.renew(proof)),
    'PROOF_WRONG',
  );
  assert.equal(Object.keys(await statesOf(daemon, device)).length, 1);
});

test('the device refuses a certificate for another key than the requested one', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const swapped = async () => ({
    certificateChain: enrollment.certificateChain,
    trustBundle: enrollment.trustBundle,
  });
  await expectCode(renewCertificate(device, enrollment, swapped), 'CERTIFICATE_INVALID');
  assert.deepEqual(await loadEnrollments(device.secrets), [enrollment]);
});

test('a renewal in progress when its certificate is revoked gets nothing', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const { serial } = await (await daemon.node(enrollment)).status({});
  const { registry } = daemon.running.identity;
  const read = registry.device.bind(registry);
  t.mock.method(registry, 'device', async (id: Parameters<typeof read>[0]) => {
    t.mock.restoreAll();
    await daemon.running.identity.revokeCertificate(serial, 'copied');
    return read(id);
  });
  await expectCode(renew(daemon, device, enrollment), 'CERTIFICATE_REVOKED');
  assert.deepEqual(Object.values(await statesOf(daemon, device)), ['revoked']);
});
