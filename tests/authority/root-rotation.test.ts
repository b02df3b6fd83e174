// A root rotation while devices are connected, and the revocation lists for other programs.

import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import test from 'node:test';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { type PairedEnrollment, renewCertificate } from '@palyra/identity/device';
import type { Registry } from '@palyra/identity/registry';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { collectRevocationLists } from '@palyra/rpc';
import {
  RootRotation_Phase,
  RotateRootRequest_Step,
  type RotationStep,
  rotationSteps,
} from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, second } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';

async function renewAndUse(daemon: TestDaemon, device: SampleDevice, enrollment: PairedEnrollment) {
  const node = await daemon.node(enrollment);
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  await (await daemon.node(renewed)).status({});
  return renewed;
}

const step = (daemon: TestDaemon, name: RotationStep, force = false) =>
  daemon.admin.rotateRoot({ step: rotationSteps.toWire(name), force });

test('a root is rotated without losing a device', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await pair(daemon, device);
  await (await daemon.node(first)).status({});
  const oldRoot = daemon.running.identity.rootFingerprint;

  const prepared = await step(daemon, 'prepare');
  assert.equal(prepared.phase, RootRotation_Phase.PREPARED);
  assert.deepEqual(
    prepared.behind.map(({ id }) => id),
    [device.identity.id],
  );
  const refused = await expectCode(step(daemon, 'activate'), 'ROTATION_NOT_READY');
  assert.match(refused.message, new RegExp(device.identity.id));
  const second = await renewAndUse(daemon, device, first);
  assert.equal(second.trustBundle.length, 2);

  const activated = await step(daemon, 'activate');
  assert.equal(activated.phase, RootRotation_Phase.ACTIVATED);
  assert.notEqual(daemon.running.identity.rootFingerprint, oldRoot);
  // The earlier certificate is still valid, and the daemon's new certificate is trusted.
  await (await daemon.node(second)).status({});
  await expectCode(step(daemon, 'finish'), 'ROTATION_NOT_READY');
  const third = await renewAndUse(daemon, device, second);

  assert.equal((await step(daemon, 'finish')).phase, RootRotation_Phase.NONE);
  assert.equal(daemon.trustBundle.length, 1);
  await (await daemon.node(third)).status({});
  const fourth = await renewAndUse(daemon, device, third);
  assert.deepEqual(fourth.trustBundle, daemon.trustBundle);
  // Only devices that the old root alone vouches for are shut out.
  await assert.rejects(
    (await daemon.node(fourth)).status({}).then(() => daemon.node(first).then((n) => n.status({}))),
  );
  const other = await makeDevice();
  await (await daemon.node(await pair(daemon, other))).status({});
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a rotation can be called off before and after the new root signs', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await pair(daemon, device);
  await (await daemon.node(first)).status({});
  const oldRoot = daemon.running.identity.rootFingerprint;
  await step(daemon, 'prepare');
  await expectCode(step(daemon, 'prepare'), 'ROTATION_CONFLICT');
  assert.equal((await step(daemon, 'rollback')).phase, RootRotation_Phase.NONE);
  assert.equal(daemon.trustBundle.length, 1);

  await step(daemon, 'prepare');
  await step(daemon, 'activate', true);
  const newcomer = await makeDevice();
  const under = await pair(daemon, newcomer);
  assert.equal((await step(daemon, 'rollback')).phase, RootRotation_Phase.ACTIVATED);
  assert.equal(daemon.running.identity.rootFingerprint, oldRoot);
  await (await daemon.node(first)).status({});
  await (await daemon.node(under)).status({});
  await step(daemon, 'finish', true);
  await (await daemon.node(first)).status({});
});

test('a device that has not renewed is found even when the clock was set back before a step', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock });
  const device = await makeDevice({ clock });
  let enrollment = await pair(daemon, device);
  await (await daemon.node(enrollment)).status({});
  for (const [name, next] of [
    ['prepare', 'activate'],
    ['activate', 'finish'],
  ] as const) {
    clock.advance(-30 * second);
    const { behind } = await step(daemon, name);
    assert.deepEqual(
      behind.map(({ id }) => id),
      [device.identity.id],
      name,
    );
    await expectCode(step(daemon, next), 'ROTATION_NOT_READY');
    clock.advance(31 * second);
    enrollment = await renewAndUse(daemon, device, enrollment);
  }
  assert.equal((await step(daemon, 'finish')).phase, RootRotation_Phase.NONE);
});

test('steps out of order are refused', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const name of ['activate', 'finish', 'rollback'] as const)
    await expectCode(step(daemon, name), 'ROTATION_CONFLICT');
  for (const unknown of [RotateRootRequest_Step.UNSPECIFIED, 99 as RotateRootRequest_Step])
    await expectCode(daemon.admin.rotateRoot({ step: unknown }), 'MESSAGE_INVALID');
  assert.equal((await daemon.admin.getRootRotation({})).phase, RootRotation_Phase.NONE);
});

test('a rotation goes on after a restart', async (t) => {
  const daemon = await TestDaemon.start(t);
  await step(daemon, 'prepare');
  await daemon.stop();
  const again = await TestDaemon.start(t, { home: daemon.home });
  assert.equal(again.trustBundle.length, 2);
  assert.equal((await step(again, 'activate')).phase, RootRotation_Phase.ACTIVATED);
});

test('revocation lists name every revoked certificate, and their numbers grow', async (t) => {
  const daemon = await TestDaemon.start(t);
  const [a, b] = [await makeDevice(), await makeDevice()];
  const [one, two] = [await pair(daemon, a), await pair(daemon, b)];
  const list = async () => (await collectRevocationLists(daemon.admin.getRevocationLists({})))[0]!;
  const serial = (enrollment: PairedEnrollment) =>
    new X509Certificate(enrollment.certificateChain[0]!).serialNumber.toLowerCase();
  const before = await list();
  assert.deepEqual(await list(), before, 'nothing has changed');
  await renewAndUse(daemon, b, await renewAndUse(daemon, b, two));
  assert.deepEqual(await list(), before, 'certificates were replaced, and none revoked');
  await daemon.admin.revokeCertificate({ serial: serial(one), reason: 'test' });
  const after = await list();
  assert.ok(after.number > before.number);
  assert.ok(Buffer.concat(after.der).toString('hex').includes(serial(one)));
  assert.ok(!Buffer.concat(after.der).toString('hex').includes(serial(two)));
  await daemon.admin.revokeDevice({ id: b.identity.id, reason: 'test' });
  assert.ok(
    Buffer.concat((await list()).der)
      .toString('hex')
      .includes(serial(two)),
  );
});

test('when an identity key is replaced, the list has every certificate of the old key, superseded ones too', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const first = await pair(daemon, device);
  await (await daemon.node(first)).status({});
  const second = await renewAndUse(daemon, device, first);
  const successor = await makeDevice({ identity: await sameIdOtherKey(device.identity) });
  await pair(daemon, successor, { replaceIdentityKey: true });
  const [list] = await collectRevocationLists(daemon.admin.getRevocationLists({}));
  const listed = Buffer.concat(list!.der).toString('hex');
  for (const { certificateChain } of [first, second])
    assert.ok(listed.includes(new X509Certificate(certificateChain[0]!).serialNumber.toLowerCase()));
});

test('concurrent steps of a rotation leave one issuing CA, under the signing root', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (let round = 0; round < 5; round += 1) {
    await step(daemon, 'prepare');
    await Promise.allSettled([step(daemon, 'activate'), step(daemon, 'rollback'), daemon.running.tick()]);
    await daemon.running.tick();
    await expectOneChain(daemon.running.identity.registry);
    const { phase } = await daemon.admin.getRootRotation({});
    if (phase === RootRotation_Phase.PREPARED) await step(daemon, 'rollback');
    if (phase === RootRotation_Phase.ACTIVATED) await step(daemon, 'finish', true);
  }
  await daemon.stop();
  const again = await TestDaemon.start(t, { home: daemon.home });
  await expectOneChain(again.running.identity.registry);
  await (await again.node(await pair(again, await makeDevice()))).status({});
});

test('every certificate of a revoked device is listed, however often the device renewed in a day', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { registry } = daemon.running.identity;
  const [revoked, replaced] = [await makeDevice(), await makeDevice()];
  const serials: string[] = [];
  for (const device of [revoked, replaced]) {
    await pair(daemon, device);
    const [newest] = await registry.certificatesOf(device.identity.id, 1);
    await registry.transact(async (tx) => {
      for (let count = 0; count < 2010; count += 1) {
        const [serial, fingerprint] = [
          `7f${randomBytes(15).toString('hex')}`,
          randomBytes(32).toString('hex'),
        ];
        serials.push(serial);
        const keySha256 = new Uint8Array(randomBytes(32));
        await tx.insertCertificate({ ...newest!, serial, fingerprint, keySha256, state: 'superseded' });
      }
    });
  }
  await daemon.admin.revokeDevice({ id: revoked.identity.id, reason: 'test' });
  await pair(daemon, await makeDevice({ identity: await sameIdOtherKey(replaced.identity) }), {
    replaceIdentityKey: true,
  });
  const [list] = await collectRevocationLists(daemon.admin.getRevocationLists({}));
  const listed = Buffer.concat(list!.der).toString('hex');
  assert.deepEqual(
    serials.filter((serial) => !listed.includes(serial)),
    [],
  );
});

test('concurrent requests replace a due issuing CA only once', async (t) => {
  const clock = new HeldClock();
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  const options = { registry, secrets: new MemorySecretStore(), clock };
  const one = await IdentityManager.open(options);
  const two = await IdentityManager.open(options);
  clock.advance(61 * day);
  await Promise.all([one.reloadAuthority(), two.reloadAuthority(), one.tick()]);
  await expectOneChain(registry);
  const names = { dnsNames: [], ipAddresses: [] };
  const [a, b] = [await one.issueServerCredential(names), await two.issueServerCredential(names)];
  assert.deepEqual(a.certificateChain[1], b.certificateChain[1]);
});

async function expectOneChain(registry: Registry): Promise<void> {
  const active = (await registry.authorities()).filter(({ state }) => state === 'active');
  assert.deepEqual(active.map(({ tier }) => tier).sort(), ['issuing', 'root']);
  const of = (wanted: 'root' | 'issuing') =>
    new X509Certificate(active.find(({ tier }) => tier === wanted)!.der);
  assert.ok(of('issuing').verify(of('root').publicKey));
}
