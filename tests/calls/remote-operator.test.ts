// A device with the operator role uses the operator's service over mutual TLS, on both transports. A device without the role,
// or that has lost it, cannot.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import type { IdentityErrorCode } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import { AdminService, type DeviceEventSchema, dialNode, fromConnectError, NodeService } from '@palyra/rpc';
import { DeviceRole, DeviceState, PairingState, RotateRootRequest_Step } from '@palyra/rpc/admin';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';
import { markAsCopied } from '../testing/suspect.ts';
import { until } from '../testing/until.ts';

const quic = createQuic();
const transports = ['http2', 'quic'] as const;

interface Operator {
  readonly device: SampleDevice;
  readonly id: string;
  readonly enrollment: PairedEnrollment;
}

async function makeOperator(daemon: TestDaemon): Promise<Operator> {
  const device = await makeDevice({ name: 'operator laptop' });
  return { device, id: device.identity.id, enrollment: await pair(daemon, device, { operator: true }) };
}

async function dial(
  daemon: TestDaemon,
  transport: (typeof transports)[number],
  enrollment: PairedEnrollment,
) {
  const connection =
    transport === 'http2'
      ? await dialNode(daemon.nodeAddress, enrollment)
      : await dialNodeQuic(quic, enrollment);
  daemon.closeAtEnd(connection);
  return {
    admin: createClient(AdminService, connection.transport),
    node: createClient(NodeService, connection.transport),
    closed: connection.closed,
  };
}

type Remote = Awaited<ReturnType<typeof dial>>;

/** Resolves once the stream is open; `ended` resolves with the code that ends it. */
async function openWatch({ admin }: Remote): Promise<{ readonly ended: Promise<IdentityErrorCode> }> {
  const events = admin.watch({})[Symbol.asyncIterator]();
  await events.next();
  const ended = (async () => {
    try {
      while (!(await events.next()).done);
      return assert.fail('the stream ended without a reason');
    } catch (error) {
      return fromConnectError(error).code;
    }
  })();
  ended.catch(() => {});
  return { ended };
}

async function auditOf(daemon: TestDaemon, subject: string) {
  const { entries } = await daemon.admin.listAudit({ subject });
  return entries.map(({ action, detailJson }) => ({ action, ...JSON.parse(detailJson) }));
}

for (const transport of transports) {
  test(`over ${transport}, an operator's device can make operator calls, and the audit names the device`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { id, enrollment } = await makeOperator(daemon);
    const remote = await dial(daemon, transport, enrollment);
    assert.equal((await remote.admin.getStatus({})).daemonId, daemon.running.daemonId);
    const sensor = await makeDevice({ name: 'sensor' });
    const pending = await request(daemon, sensor);
    const approved = await remote.admin.approvePairing({ id: pending.requestId });
    assert.equal(approved.state, PairingState.APPROVED);
    await remote.admin.renameDevice({ id: sensor.identity.id, name: 'pantry' });
    await remote.admin.revokeDevice({ id: sensor.identity.id, reason: 'test' });
    const rejected = await request(daemon, await makeDevice());
    await remote.admin.rejectPairing({ id: rejected.requestId, reason: '' });
    const { pairingId } = await remote.admin.mintCode({});

    assert.equal((await auditOf(daemon, pending.requestId))[0].by, `device:${id}`);
    const changes = await auditOf(daemon, sensor.identity.id);
    assert.deepEqual(
      changes.map(({ action, by }) => [action, by]),
      [
        ['request.rejected', `device:${id}`],
        ['device.revoked', `device:${id}`],
        ['device.renamed', `device:${id}`],
        ['request.approved', `device:${id}`],
        ['request.received', undefined],
        ['code.guessed', undefined],
        ['code.minted', 'admin socket'],
      ],
    );
    assert.equal((await auditOf(daemon, rejected.requestId))[0].by, `device:${id}`);
    assert.equal((await auditOf(daemon, pairingId))[0].by, `device:${id}`);
    await remote.node.status({});
  });

  test(`over ${transport}, calls that make operators or need the machine are refused`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { id, enrollment } = await makeOperator(daemon);
    const { admin } = await dial(daemon, transport, enrollment);
    const { requestId } = await request(daemon, await makeDevice());
    const error = await expectCode(
      admin.approvePairing({ id: requestId, operator: true }),
      'CALLER_NOT_ALLOWED',
    );
    assert.equal(error.fields.about, 'operator_role');
    assert.equal((await daemon.admin.getPairing({ id: requestId })).state, PairingState.PENDING_APPROVAL);
    await expectCode(admin.setDeviceRole({ id, role: DeviceRole.OPERATOR }), 'CALLER_NOT_ALLOWED');
    await expectCode(admin.rotateRoot({ step: RotateRootRequest_Step.PREPARE }), 'CALLER_NOT_ALLOWED');
    await expectCode(admin.createConsoleLogin({}), 'CALLER_NOT_ALLOWED');
  });

  test(`over ${transport}, a revocation ends the operator's streams and connection at once`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { id, enrollment } = await makeOperator(daemon);
    const remote = await dial(daemon, transport, enrollment);
    const watch = await openWatch(remote);
    await daemon.admin.revokeDevice({ id, reason: 'stolen' });
    assert.equal(await watch.ended, 'DEVICE_REVOKED');
    await remote.closed;
  });

  test(`over ${transport}, taking the role ends the operator's running capability, on the device too`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { id, enrollment } = await makeOperator(daemon);
    const remote = await dial(daemon, transport, enrollment);
    const device = await makeDevice();
    const node = await daemon.node(await pair(daemon, device));
    const leave = Promise.withResolvers<void>();
    t.after(() => leave.resolve());
    const events = node.events(helloUntil(leave.promise))[Symbol.asyncIterator]();
    assert.equal((await events.next()).value?.event.case, 'welcome');
    const call = remote.admin.executeCapability({
      deviceId: device.identity.id,
      capability: 'slow',
      timeoutMs: 600_000,
    });
    call.catch(() => {});
    const execute = (await events.next()).value?.event;
    assert.equal(execute?.case, 'execute');
    await daemon.admin.setDeviceRole({ id, role: DeviceRole.DEVICE });
    const cancel = (await events.next()).value?.event;
    assert.deepEqual([cancel?.case, cancel?.value?.callId], ['cancel', execute.value.callId]);
    await expectCode(call, 'CALLER_NOT_ALLOWED');
    await remote.node.status({});
    const run = {
      action: 'capability.executed',
      capability: 'slow',
      outcome: 'CAPABILITY_CANCELED',
      by: `device:${id}`,
    };
    // Written when the daemon has given up the run, which may be after the caller has its answer.
    const written = () => auditOf(daemon, device.identity.id);
    await until('the run in the audit', async () => (await written())[0]?.action === run.action);
    assert.deepEqual((await written())[0], run);
  });

  test(`over ${transport}, taking the role ends streams and calls but not the connection; giving it again works`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { id, enrollment } = await makeOperator(daemon);
    const remote = await dial(daemon, transport, enrollment);
    const watch = await openWatch(remote);
    await daemon.admin.setDeviceRole({ id, role: DeviceRole.DEVICE });
    assert.equal(await watch.ended, 'CALLER_NOT_ALLOWED');
    const error = await expectCode(remote.admin.getStatus({}), 'CALLER_NOT_ALLOWED');
    assert.deepEqual(error.fields, { about: 'operator_role', deviceId: id });
    await remote.node.status({});

    await daemon.admin.setDeviceRole({ id, role: DeviceRole.OPERATOR });
    await remote.admin.getStatus({});
    const again = await openWatch(remote);
    await daemon.admin.setDeviceRole({ id, role: DeviceRole.DEVICE });
    assert.equal(await again.ended, 'CALLER_NOT_ALLOWED');
    const changes = (await auditOf(daemon, id)).filter(({ action }) => action === 'device.role_changed');
    assert.deepEqual(changes, [
      { action: 'device.role_changed', by: 'admin socket', role: 'device' },
      { action: 'device.role_changed', by: 'admin socket', role: 'operator' },
      { action: 'device.role_changed', by: 'admin socket', role: 'device' },
      { action: 'device.role_changed', by: 'admin socket', role: 'operator' },
    ]);
  });

  test(`over ${transport}, an operator can revoke its own device, and is told that it is out`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const { id, enrollment } = await makeOperator(daemon);
    const remote = await dial(daemon, transport, enrollment);
    await expectCode(remote.admin.revokeDevice({ id, reason: 'retired' }), 'DEVICE_REVOKED');
    await remote.closed;
    assert.equal((await daemon.admin.getDevice({ id })).device?.state, DeviceState.REVOKED);
  });
}

test("an operator's device is released at the machine only, so that a copy cannot release itself", async (t) => {
  const daemon = await TestDaemon.start(t);
  const [laptop, sensor] = [await makeDevice(), await makeDevice()];
  const { registry } = daemon.running.identity;
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
  daemon.closeAtEnd(connection);
  await pair(daemon, sensor);
  for (const { identity } of [laptop, sensor]) await markAsCopied(registry, identity.id);
  const remote = createClient(AdminService, connection.transport);
  await expectCode(remote.releaseDevice({ id: laptop.identity.id }), 'CALLER_NOT_ALLOWED');
  const kept = await registry.device(laptop.identity.id);
  assert.ok(kept?.state === 'active' && kept.cloneSeenAt);
  assert.equal((await remote.releaseDevice({ id: sensor.identity.id })).cloneSeenMs, 0n);
  assert.equal((await daemon.admin.releaseDevice({ id: laptop.identity.id })).cloneSeenMs, 0n);
});

test('nobody is an operator by default', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { admin } = await dial(daemon, 'http2', await pair(daemon, device));
  await expectCode(admin.getStatus({}), 'CALLER_NOT_ALLOWED');
  assert.equal((await daemon.admin.getDevice({ id: device.identity.id })).device?.role, DeviceRole.DEVICE);
});

test('the role belongs to the identity key: another key with the same id does not inherit it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { device, id } = await makeOperator(daemon);
  const again = await request(daemon, device);
  assert.equal((await daemon.admin.getPairing({ id: again.requestId })).device?.role, DeviceRole.OPERATOR);
  await daemon.admin.approvePairing({ id: again.requestId });
  assert.equal(
    (await daemon.admin.getDevice({ id })).device?.role,
    DeviceRole.OPERATOR,
    'the same key keeps it',
  );

  const other = { ...device, identity: await sameIdOtherKey(device.identity) };
  const replaced = await pair(daemon, other, { replaceIdentityKey: true });
  assert.equal((await daemon.admin.getDevice({ id })).device?.role, DeviceRole.DEVICE);
  const { admin } = await dial(daemon, 'http2', replaced);
  await expectCode(admin.getStatus({}), 'CALLER_NOT_ALLOWED');

  const third = { ...device, identity: await sameIdOtherKey(device.identity) };
  await pair(daemon, third, { replaceIdentityKey: true, operator: true });
  assert.equal(
    (await daemon.admin.getDevice({ id })).device?.role,
    DeviceRole.OPERATOR,
    'the role was granted again',
  );
});

test('an unknown role, an unknown device and a revoked device are refused', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { id } = await makeOperator(daemon);
  await expectCode(daemon.admin.setDeviceRole({ id, role: 99 as DeviceRole }), 'MESSAGE_INVALID');
  await expectCode(daemon.admin.setDeviceRole({ id, role: DeviceRole.UNSPECIFIED }), 'MESSAGE_INVALID');
  await expectCode(daemon.admin.setDeviceRole({ id: 'x', role: DeviceRole.DEVICE }), 'DEVICE_ID_INVALID');
  const { identity } = await makeDevice();
  await expectCode(
    daemon.admin.setDeviceRole({ id: identity.id, role: DeviceRole.DEVICE }),
    'DEVICE_NOT_FOUND',
  );
  await daemon.admin.revokeDevice({ id, reason: '' });
  await expectCode(daemon.admin.setDeviceRole({ id, role: DeviceRole.OPERATOR }), 'DEVICE_REVOKED');
});

async function* helloUntil(left: Promise<void>): AsyncGenerator<MessageInitShape<typeof DeviceEventSchema>> {
  yield { event: { case: 'hello', value: { agentId: new Uint8Array(16) } } };
  await left;
}
