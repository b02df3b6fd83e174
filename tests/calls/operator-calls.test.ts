// A change requested by an operator's device is not made once the device has lost the right to it, however late that happens:
// the call was checked earlier, and the change waits for its turn.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { IdentityError, type IdentityErrorCode, type IdentityManager } from '@palyra/identity';
import type { Actor } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';
import { AdminService, dialNode } from '@palyra/rpc';
import { DeviceRole } from '@palyra/rpc/admin';
import { access } from '@palyra/rpc/transport';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { markAsCopied, quarantine } from '../testing/suspect.ts';

interface Operator {
  readonly kind: 'device';
  readonly deviceId: DeviceId;
  readonly serial: string;
  readonly remote: ReturnType<typeof remoteOf>;
}

const remoteOf = (connection: Awaited<ReturnType<typeof dialNode>>) =>
  createClient(AdminService, connection.transport);

async function makeOperator(daemon: TestDaemon): Promise<Operator> {
  const device = await makeDevice({ name: 'operator laptop' });
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, device, { operator: true }));
  daemon.closeAtEnd(connection);
  const remote = remoteOf(connection);
  // Its first call makes the certificate active.
  await remote.getStatus({});
  const deviceId = device.identity.id;
  const [certificate] = await daemon.running.identity.registry.certificatesOf(deviceId, 1);
  return { kind: 'device', deviceId, serial: certificate!.serial, remote };
}

/** The objects of the changes. */
async function makeVictim(daemon: TestDaemon) {
  const device = await makeDevice({ name: 'sensor' });
  await pair(daemon, device);
  const { registry } = daemon.running.identity;
  const { id } = device.identity;
  await markAsCopied(registry, id);
  const [certificate] = await registry.certificatesOf(id, 1);
  const { pairingId } = await daemon.admin.mintCode({});
  return {
    id,
    serial: certificate!.serial,
    waiting: pairingId,
    pending: (await request(daemon, await makeDevice())).requestId,
  };
}

type Victim = Awaited<ReturnType<typeof makeVictim>>;

/** Every change that records its maker. */
const changes: Record<string, (identity: IdentityManager, victim: Victim, by: Actor) => Promise<unknown>> = {
  mint: ({ desk }, _, by) => desk.mint({ kind: 'typed', address: 'localhost:1', by }),
  'mint, approving by itself': ({ desk }, _, by) =>
    desk.mint({ kind: 'qr', address: 'localhost:1', autoApprove: true, by }),
  approve: ({ desk }, { pending }, by) => desk.approve(pending, { by }),
  reject: ({ desk }, { pending }, by) => desk.reject(pending, '', by),
  withdraw: ({ desk }, { waiting }, by) => desk.reject(waiting, '', by),
  rename: (identity, { id }, by) => identity.renameDevice(id, 'other', by),
  'give a role': (identity, { id }, by) => identity.setDeviceRole(id, 'operator', by),
  'give host names': (identity, { id }, by) => identity.setHostNames(id, ['nas.example'], by),
  'revoke a device': (identity, { id }, by) => identity.revokeDevice(id, '', by),
  'set labels': (identity, { id }, by) => identity.setDeviceLabels(id, ['kitchen'], by),
  'revoke many': (identity, { id }, by) => identity.revokeDevices([id], '', by),
  release: (identity, { id }, by) => identity.releaseDevice(id, by),
  'revoke a certificate': (identity, { serial }, by) => identity.revokeCertificate(serial, '', by),
  'ask for a renewal': (identity, { id }, by) => identity.askToRenew({ ids: [id] }, 0, by),
  'prepare a root': ({ rootRotation }, _, by) => rootRotation.prepare(by),
  'activate a root': ({ rootRotation }, _, by) => rootRotation.activate(true, by),
  'roll a root back': ({ rootRotation }, _, by) => rootRotation.rollback(by),
  'finish a root': ({ rootRotation }, _, by) => rootRotation.finish(true, by),
};

/** The events that end an operator's rights, with the code that the operator gets. */
const ends: Record<
  string,
  [IdentityErrorCode, (identity: IdentityManager, operator: Operator) => Promise<unknown>]
> = {
  'device is revoked': ['DEVICE_REVOKED', (identity, { deviceId }) => identity.revokeDevice(deviceId, '')],
  'device is in quarantine': [
    'DEVICE_QUARANTINED',
    ({ registry }, { deviceId }) => quarantine(registry, deviceId),
  ],
  'role is taken': [
    'CALLER_NOT_ALLOWED',
    (identity, { deviceId }) => identity.setDeviceRole(deviceId, 'device'),
  ],
  'certificate is revoked': [
    'CERTIFICATE_REVOKED',
    (identity, { serial }) => identity.revokeCertificate(serial, ''),
  ],
};

for (const [end, [code, shutOut]] of Object.entries(ends)) {
  test(`an operator whose ${end} changes nothing`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { identity } = daemon.running;
    const victim = await makeVictim(daemon);
    const { deviceId, serial, ...operator } = await makeOperator(daemon);
    await shutOut(identity, { deviceId, serial, ...operator });
    const head = await identity.registry.auditHead();
    const told = daemon.events.length;
    for (const [name, change] of Object.entries(changes)) {
      await assert.rejects(change(identity, victim, { kind: 'device', deviceId, serial }), { code }, name);
      assert.deepEqual(await identity.registry.auditHead(), head, name);
    }
    assert.equal(daemon.events.length, told);
    const device = await identity.registry.device(victim.id);
    assert.deepEqual([device?.name, device?.role, device?.state], ['sensor', 'device', 'approved']);
  });
}

test('each of these changes succeeds for a device that is still an operator', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { identity } = daemon.running;
  const { deviceId, serial } = await makeOperator(daemon);
  for (const [name, change] of Object.entries(changes)) {
    const before = await identity.registry.auditHead();
    await change(identity, await makeVictim(daemon), { kind: 'device', deviceId, serial });
    const rows = await identity.registry.audit({ limit: 20 });
    assert.ok(
      rows.some((row) => row.seq > before.seq && JSON.parse(row.detailJson).by === `device:${deviceId}`),
      name,
    );
  }
});

type Remote = Operator['remote'];

/** Every call of an operator's device that changes something. */
const calls: Record<string, (remote: Remote, victim: Victim) => Promise<unknown>> = {
  MintCode: (remote) => remote.mintCode({ autoApprove: true }),
  ApprovePairing: (remote, { pending }) => remote.approvePairing({ id: pending }),
  RejectPairing: (remote, { pending }) => remote.rejectPairing({ id: pending }),
  RenameDevice: (remote, { id }) => remote.renameDevice({ id, name: 'other' }),
  SetHostNames: (remote, { id }) => remote.setHostNames({ id, hostNames: ['nas.example'] }),
  RevokeDevice: (remote, { id }) => remote.revokeDevice({ id }),
  RevokeDevices: (remote, { id }) => remote.revokeDevices({ ids: [id] }),
  ReleaseDevice: (remote, { id }) => remote.releaseDevice({ id }),
  RevokeCertificate: (remote, { serial }) => remote.revokeCertificate({ serial }),
  RenewDevices: (remote, { id }) => remote.renewDevices({ ids: [id] }),
};

/**
 * ExecuteCapability does not change the registry: the device is told to stop, and the audit records the request. ForgetDaemon
 * needs a fleet (tests/fleet/members.test.ts).
 */
const others = /\/(Get|List|Watch|Verify|Explain|ExecuteCapability$|ForgetDaemon$|ServerReflectionInfo$)/;

test('every call of an operator’s device that changes something is tried here', () => {
  const methods = Object.entries(access)
    .filter(([method, caller]) => caller === 'operator' && !others.test(method))
    .map(([method]) => method.slice(method.indexOf('/') + 1));
  assert.deepEqual(methods.sort(), Object.keys(calls).sort());
});

/** Runs `first` just before the next change. Resolves with the outcome of that change. */
function beforeNextChange(
  t: TestContext,
  { registry }: IdentityManager,
  first: () => Promise<unknown>,
): Promise<PromiseSettledResult<unknown>> {
  const { promise, resolve } = Promise.withResolvers<PromiseSettledResult<unknown>>();
  const transact = registry.transact.bind(registry);
  const mocked = t.mock.method(registry, 'transact', async (work: Parameters<typeof transact>[0]) => {
    mocked.mock.restore();
    await first();
    const change = transact(work);
    resolve((await Promise.allSettled([change]))[0]);
    return change;
  });
  return promise;
}

for (const [name, call] of Object.entries(calls)) {
  test(`${name} does nothing when its device or certificate is revoked while it waits`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { identity } = daemon.running;
    for (const end of ['device is revoked', 'certificate is revoked']) {
      const [code, shutOut] = ends[end]!;
      const victim = await makeVictim(daemon);
      const operator = await makeOperator(daemon);
      const changed = beforeNextChange(t, identity, () => shutOut(identity, operator));
      await expectCode(call(operator.remote, victim), code);
      const outcome = await changed;
      assert.equal(outcome.status === 'rejected' && outcome.reason.code, code);
      const [last] = await identity.registry.audit({ limit: 1 });
      assert.match(last!.action, /^(device|certificate)\.revoked$/);
      assert.ok(last!.subject === operator.deviceId || last!.subject === operator.serial, name);
    }
  });
}

test('a change that an operator makes to its own device takes effect', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { identity } = daemon.running;
  const self: Record<string, (operator: Operator) => Promise<unknown>> = {
    'device.renamed': (by) => identity.renameDevice(by.deviceId, 'renamed', by),
    'device.role_changed': (by) => identity.setDeviceRole(by.deviceId, 'device', by),
    'certificate.revoked': (by) => identity.revokeCertificate(by.serial, '', by),
    'device.revoked': (by) => identity.revokeDevice(by.deviceId, '', by),
  };
  for (const [action, change] of Object.entries(self)) {
    const operator = await makeOperator(daemon);
    await change(operator);
    const [last] = await identity.registry.audit({ limit: 1 });
    assert.deepEqual(
      [last?.action, JSON.parse(last!.detailJson).by],
      [action, `device:${operator.deviceId}`],
    );
  }
  const { deviceId, remote } = await makeOperator(daemon);
  await expectCode(remote.revokeDevice({ id: deviceId }), 'DEVICE_REVOKED');
  assert.equal((await identity.registry.device(deviceId))?.state, 'revoked');
});

test('the certificate of another device cannot act as an operator', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { id } = await makeVictim(daemon);
  const [one, other] = [await makeOperator(daemon), await makeOperator(daemon)];
  const mixed: Actor = { kind: 'device', deviceId: one.deviceId, serial: other.serial };
  await expectCode(daemon.running.identity.renameDevice(id, 'other', mixed), 'CALLER_NOT_ALLOWED');
});

test('an answer that cannot be read after its change does not say that nothing was changed', async (t) => {
  const daemon = await TestDaemon.start(t);
  const [device, lost] = [await makeDevice({ name: 'sensor' }), await makeDevice({ name: 'lost' })];
  for (const each of [device, lost]) await pair(daemon, each);
  const { id } = device.identity;
  const { remote } = await makeOperator(daemon);
  const { registry } = daemon.running.identity;
  // The database of a fleet goes away between the change and the answer.
  t.mock.method(registry, 'livingCertificates', async () => {
    throw new IdentityError('STORE_UNREACHABLE', 'The database is away. Nothing was changed.');
  });
  const role = DeviceRole.OPERATOR;
  const { message } = await expectCode(daemon.admin.setDeviceRole({ id, role }), 'STORE_OUTCOME_UNKNOWN');
  assert.match(message, /may have been made, .*STORE_UNREACHABLE/);
  assert.doesNotMatch(message, /Nothing was changed/);
  assert.equal((await registry.device(id))?.role, 'operator');
  for (const [name, admin] of [
    ['renamed here', daemon.admin],
    ['renamed from afar', remote],
  ] as const) {
    await expectCode(admin.renameDevice({ id, name }), 'STORE_OUTCOME_UNKNOWN');
    assert.equal((await registry.device(id))?.name, name);
    // What only looks has changed nothing.
    await expectCode(admin.getDevice({ id }), 'STORE_UNREACHABLE');
    await expectCode(admin.listDevices({}), 'STORE_UNREACHABLE');
  }
  await expectCode(remote.revokeDevice({ id: lost.identity.id, reason: 'lost' }), 'STORE_OUTCOME_UNKNOWN');
  assert.equal((await registry.device(lost.identity.id))?.state, 'revoked');
});
