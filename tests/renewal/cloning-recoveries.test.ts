// Recoveries that do or do not indicate a copy of a device.

import assert from 'node:assert/strict';
import test from 'node:test';
import { MemorySecretStore } from '@palyra/identity';
import { type PairedEnrollment, recoverCertificate, renewCertificate } from '@palyra/identity/device';
import { putRestored } from '@palyra/identity/registry';
import { dialPairing, fromConnectError, recoveryPeer } from '@palyra/rpc';
import {
  DeviceState,
  ExplainResponse_Decision,
  RotateRootRequest_Step,
  rotationSteps,
} from '@palyra/rpc/admin';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { copied, dial, limits, serialOf, suspicions, transports } from '../testing/copied-device.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour, minute } from '../testing/held-clock.ts';
import { answer } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice } from '../testing/sample-device.ts';

for (const transport of transports) {
  test(`over ${transport}, a replaced certificate that is used again is reported, once in a period`, async (t) => {
    const { clock, daemon, id, old, live, knock, shown, reports } = await copied(t, transport);
    await knock();
    assert.equal((await reports()).length, 0, 'no report within the grace time');
    clock.advance(minute);
    for (let time = 0; time < 10; time += 1) await knock();
    const [report, ...more] = await reports();
    assert.deepEqual(more, []);
    const detail = { device: id, source: '127.0.0.1', sign: 'replaced_certificate' };
    assert.deepEqual(JSON.parse(report!.detailJson), detail);
    const told = daemon.events.filter((event) => event.type === 'clone_suspected');
    assert.deepEqual(
      told.map(({ serial, quarantined }) => ({ serial, quarantined })),
      [{ serial: serialOf(old), quarantined: false }],
    );
    const device = await shown();
    assert.equal(device.state, DeviceState.ACTIVE);
    assert.equal(Number(device.cloneSeenMs), clock.now().getTime());
    const why = await daemon.admin.explain({ id });
    assert.equal(why.decision, ExplainResponse_Decision.ALLOWED);
    assert.match(
      why.reasons.join(' '),
      new RegExp(`${serialOf(old)} .*from 127\\.0\\.0\\.1: .*a copy of it`),
    );
    // The device itself keeps working.
    await live.status({});
    clock.advance(10 * minute);
    await knock();
    assert.equal((await reports()).length, 2);
    assert.equal((await daemon.admin.releaseDevice({ id })).cloneSeenMs, 0n);
    assert.doesNotMatch((await daemon.admin.explain({ id })).reasons.join(' '), /copy/);
  });

  test(`over ${transport}, a device in quarantine is shut out until it is released`, async (t) => {
    const scene = await copied(t, transport, { cloning: 'quarantine' });
    const { clock, daemon, device, id, old, renewed, live, knock, shown, reports } = scene;
    clock.advance(minute);
    await knock();
    await live.closed;
    assert.equal((await shown()).state, DeviceState.QUARANTINED);
    await knock('DEVICE_QUARANTINED');
    for (const each of transports) {
      await expectCode((await dial(daemon, each, renewed)).status({}), 'DEVICE_QUARANTINED');
    }
    const recovery = await dialPairing(renewed.address, renewed);
    daemon.closeAtEnd(recovery);
    await expectCode(recoverCertificate(device, renewed, recoveryPeer(recovery)), 'DEVICE_QUARANTINED');
    const why = await daemon.admin.explain({ id });
    assert.deepEqual([why.decision, why.code], [ExplainResponse_Decision.REFUSED, 'DEVICE_QUARANTINED']);
    assert.match(why.reasons.join(' '), new RegExp(serialOf(old)));

    assert.equal((await daemon.admin.releaseDevice({ id })).state, DeviceState.ACTIVE);
    await (await dial(daemon, transport, renewed)).status({});
    clock.advance(10 * minute);
    await knock();
    assert.equal((await reports()).length, 2);
    assert.equal(
      (await shown()).state,
      DeviceState.ACTIVE,
      'the same certificate does not shut it out again',
    );
    await (await dial(daemon, transport, renewed)).status({});
  });

  test(`over ${transport}, the stream of a device ends with the quarantine as its reason`, async (t) => {
    const { clock, daemon, live, knock, id } = await copied(t, transport, { cloning: 'quarantine' });
    const hold = Promise.withResolvers<void>();
    t.after(() => hold.resolve());
    async function* sent() {
      yield { event: { case: 'hello', value: { agentId: new Uint8Array(16) } } } as const;
      await hold.promise;
    }
    const received = live.events(sent())[Symbol.asyncIterator]();
    await received.next();
    const call = expectCode(
      daemon.admin.executeCapability({ deviceId: id, capability: 'echo' }),
      'DEVICE_QUARANTINED',
    );
    assert.equal((await received.next()).value?.event.case, 'execute');
    clock.advance(minute);
    await knock();
    await call;
    const end = await received.next().catch((error) => error);
    assert.equal(fromConnectError(end).code, 'DEVICE_QUARANTINED');
    await live.closed;
  });
}

async function recover(daemon: TestDaemon, device: SampleDevice, enrollment: PairedEnrollment) {
  const connection = await dialPairing(enrollment.address, enrollment);
  daemon.closeAtEnd(connection);
  return recoverCertificate(device, enrollment, recoveryPeer(connection));
}

/** Over a channel whose TLS does not check the real clock. */
async function recoverWith(daemon: TestDaemon, device: SampleDevice, enrollment: PairedEnrollment) {
  const connection = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(connection);
  return recoverCertificate(device, enrollment, recoveryPeer(connection));
}

/** A thief's copy of everything, in separate storage. */
const copyOf = (device: SampleDevice): SampleDevice => ({ ...device, secrets: new MemorySecretStore() });

test('a recovery with a valid certificate is reported, once in a period', async (t) => {
  const { clock, daemon, device, id, renewed, shown } = await copied(t, 'http2');
  const thief = copyOf(device);
  let stolen = renewed;
  for (let time = 0; time < 4; time += 1) {
    stolen = await recover(daemon, thief, stolen);
    await (await daemon.node(stolen)).status({});
  }
  assert.deepEqual(
    suspicions(daemon).map(({ serial, quarantined, sign }) => ({ serial, quarantined, sign })),
    [{ serial: serialOf(renewed), quarantined: false, sign: 'recovery' }],
  );
  const { entries } = await daemon.admin.listAudit({ subject: serialOf(renewed), limit: 100 });
  const [report] = entries.filter(({ action }) => action === 'certificate.reused');
  assert.deepEqual(JSON.parse(report!.detailJson), { device: id, source: '127.0.0.1', sign: 'recovery' });
  assert.equal(Number((await shown()).cloneSeenMs), clock.now().getTime());
  assert.match(
    (await daemon.admin.explain({ id })).reasons.join(' '),
    /was valid, another one was requested/,
  );
  clock.advance(10 * minute);
  await recover(daemon, thief, stolen);
  assert.equal(suspicions(daemon).length, 2);
});

test('with quarantine on, a recovery with a valid certificate is refused, until a release', async (t) => {
  const { daemon, device, id, renewed, live, shown } = await copied(t, 'http2', { cloning: 'quarantine' });
  await expectCode(recover(daemon, copyOf(device), renewed), 'DEVICE_QUARANTINED');
  await live.closed;
  assert.equal((await shown()).state, DeviceState.QUARANTINED);
  assert.equal((await daemon.admin.getDevice({ id })).certificates.length, 2, 'nothing was issued');
  await daemon.admin.releaseDevice({ id });
  const recovered = await recover(daemon, device, renewed);
  await (await daemon.node(recovered)).status({});
});

test('a thief who acted for a sleeping device is noticed when the device returns', async (t) => {
  const { clock, daemon, device, renewed } = await copied(t, 'http2', { cloning: 'quarantine' });
  clock.advance(2 * day);
  const stolen = await recover(daemon, copyOf(device), renewed);
  await (await daemon.node(stolen)).status({});
  assert.deepEqual(suspicions(daemon), [], 'nobody can tell this one from the device');
  await expectCode((await daemon.node(renewed)).status({}), 'CERTIFICATE_SUPERSEDED');
  await expectCode(recover(daemon, device, renewed), 'DEVICE_QUARANTINED');
  assert.equal(suspicions(daemon).length, 1);
});

const issuingEnds = {
  'the issuing CA was replaced': async ({ daemon, clock }: Scene) => {
    clock.advance(2 * hour);
    await daemon.running.identity.tick();
  },
  'a new root was activated': async ({ daemon }: Scene) => {
    for (const step of [RotateRootRequest_Step.PREPARE, RotateRootRequest_Step.ACTIVATE])
      await daemon.admin.rotateRoot({ step, force: true });
  },
  'the rotation was rolled back': async ({ daemon }: Scene) => {
    for (const step of ['prepare', 'activate', 'rollback'] as const)
      await daemon.admin.rotateRoot({ step: rotationSteps.toWire(step), force: true });
  },
};
interface Scene {
  readonly daemon: TestDaemon;
  readonly clock: HeldClock;
}

for (const [what, replaceIssuing] of Object.entries(issuingEnds)) {
  test(`a recovery with a valid certificate is noticed after ${what}`, async (t) => {
    const clock = new HeldClock();
    const daemon = await TestDaemon.start(t, { clock, limits, cloning: 'quarantine' });
    clock.advance(60 * day - hour);
    const device = await makeDevice({ clock });
    const paired = await pair(daemon, device);
    await (await daemon.node(paired)).status({});
    const { identity } = daemon.running;
    const before = (await identity.registry.authorities()).length;
    await replaceIssuing({ daemon, clock });
    assert.ok((await identity.registry.authorities()).length > before);
    assert.equal(
      (await daemon.admin.explain({ id: device.identity.id })).decision,
      ExplainResponse_Decision.ALLOWED,
    );
    await expectCode(recoverWith(daemon, copyOf(device), paired), 'DEVICE_QUARANTINED');
    assert.deepEqual(
      suspicions(daemon).map(({ sign }) => sign),
      ['recovery'],
    );
  });
}

test('a recovery after the retirement of the root behind the certificate raises no alarm', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits, cloning: 'quarantine' });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  for (const step of [
    RotateRootRequest_Step.PREPARE,
    RotateRootRequest_Step.ACTIVATE,
    RotateRootRequest_Step.FINISH,
  ])
    await daemon.admin.rotateRoot({ step, force: true });
  await recoverWith(daemon, device, paired);
  assert.deepEqual(suspicions(daemon), []);
});

test("a refused recovery raises no alarm, and the operator's question says that the certificate is valid", async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: { ...limits, recoveryOfflineMs: 0 } });
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  const { id } = device.identity;
  const marked = async () => (await daemon.admin.getDevice({ id })).device!.cloneSeenMs > 0n;
  await expectCode(recover(daemon, device, paired), 'RECOVERY_NEEDS_APPROVAL');
  assert.deepEqual(
    daemon.events.flatMap((event) => (event.type === 'recovery_asked' ? event.possibleCopy : [])),
    [true],
  );
  assert.equal(await marked(), false);
  assert.match((await daemon.admin.explain({ id })).reasons.join(' '), /MAY HAVE BEEN COPIED/);
  await daemon.admin.releaseDevice({ id });
  await recover(daemon, device, paired);
  assert.deepEqual(suspicions(daemon), [], 'the operator has allowed it');
});

test('a recovery that comes too soon raises no alarm', async (t) => {
  const { daemon, device, renewed, live } = await copied(t, 'http2');
  for (let count = 2; count < 20; count += 1)
    await renewCertificate(device, renewed, (proof) => live.renew(proof));
  await expectCode(recover(daemon, device, renewed), 'TOO_MANY_REQUESTS');
  assert.deepEqual(suspicions(daemon), []);
});

test('a recovery with a reason raises no alarm', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits, cloning: 'quarantine' });
  const device = await makeDevice({ clock });
  let paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  clock.advance(25 * hour);
  // The answer was lost: the old certificate has ended, and the device asks again.
  await recover(daemon, device, paired);
  paired = await recover(daemon, device, paired);
  // Before the certificate's first use.
  await recover(daemon, device, paired);
  await (await daemon.node(paired)).status({});
  clock.advance(-2 * hour);
  // The daemon's clock was set back, so the certificate is not valid yet.
  await recover(daemon, device, paired);
  assert.deepEqual(suspicions(daemon), []);
});

test('a recovery that a restore explains raises no alarm; one after the device was seen again does', async (t) => {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  await (await daemon.node(old)).status({});
  const madeAtMs = clock.now().getTime();
  clock.advance(hour);
  const { registry } = daemon.running.identity;
  await registry.transact((tx) => putRestored(tx, { madeAtMs, atMs: clock.now().getTime() }));
  // Like a device with a certificate from between backup and restore.
  await recover(daemon, device, old);
  assert.deepEqual(suspicions(daemon), []);
  clock.advance(hour);
  await (await daemon.node(old)).status({});
  await recover(daemon, device, old);
  assert.equal(suspicions(daemon).length, 1);
});

test('a recovery request of a possible copy carries a warning, which also explains the effect of a release', async (t) => {
  const { clock, daemon, device, id, renewed, knock } = await copied(t, 'http2');
  clock.advance(minute);
  await knock();
  await daemon.admin.revokeCertificate({ serial: serialOf(renewed), reason: 'copied' });
  await expectCode(recover(daemon, device, renewed), 'RECOVERY_NEEDS_APPROVAL');
  assert.deepEqual(
    daemon.events.flatMap((event) => (event.type === 'recovery_asked' ? event.possibleCopy : [])),
    [true],
  );
  const { home } = daemon;
  const inWords = async (...args: string[]) =>
    (await runRecorded({ args: [...args, '--home', home] })).stdout.replaceAll(/\s+/g, ' ');
  assert.match(await inWords('devices', 'show', id), /MAY HAVE BEEN COPIED/);
  assert.match(await inWords('why', id), /MAY HAVE BEEN COPIED/);
  assert.match(await inWords('devices', 'release', id), /warning about a copy is removed.*is allowed, once/);
  assert.match(await inWords('devices', 'release', id), /nothing was waiting for a decision/);
});

test('the operator sees a possible copy in the terminal, and ends the quarantine there', async (t) => {
  const { clock, daemon, id, knock, live, old } = await copied(t, 'http2', { cloning: 'quarantine' });
  clock.advance(minute);
  await knock();
  await live.closed;
  const { home } = daemon;
  const inWords = async (...args: string[]) =>
    (await runRecorded({ args: [...args, '--home', home] })).stdout;
  assert.match(await inWords('devices', 'list'), /quarantined, copied\?/);
  assert.match(await inWords('devices', 'show', id), /possible copy +a replaced certificate was used again/);
  const why = await answer(['why', id], { home });
  assert.equal(why.code, 'DEVICE_QUARANTINED');
  const replaced = await answer(['why', serialOf(old)], { home });
  assert.match(String(replaced.reasons), /used again/);
  const released = await answer(['devices', 'release', id.slice(-8)], { home });
  assert.deepEqual([released.state, released.clone_seen_at], ['active', null]);
  assert.deepEqual(released.released, { quarantine: true, warning: true, recovery: false });
  assert.doesNotMatch(await inWords('devices', 'list'), /copied/);
});
