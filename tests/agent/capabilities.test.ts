// The operator runs capabilities on a device, over both transports.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import type { Capability } from '@palyra/agent';
import { IdentityError } from '@palyra/identity';
import { transports } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { json, parsed, TestAgent } from '../testing/test-agent.ts';

/** A capability that reports its start and ends when the test releases it. */
function held() {
  const running = Promise.withResolvers<AbortSignal>();
  const release = Promise.withResolvers<void>();
  const capability: Capability = async ({ input, signal }) => {
    running.resolve(signal);
    await Promise.race([release.promise, signal.aborted || once(signal, 'abort')]);
    return input;
  };
  return { capability, running: running.promise, release: release.resolve };
}

for (const transport of ['http2', 'quic'] as const) {
  test(`over ${transport}, the operator runs a capability on the device`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const agent = new TestAgent(t, device, await pair(daemon, device), { transport });
    await agent.connected();
    const deviceId = device.identity.id;
    const echo = await daemon.admin.executeCapability({
      deviceId,
      capability: 'echo',
      input: json({ a: [1] }),
    });
    assert.deepEqual(parsed(echo.output), { a: [1] });
    const info = await daemon.admin.executeCapability({ deviceId, capability: 'system.info' });
    assert.equal(parsed(info.output).node, process.version);
    const shown = (await daemon.admin.getDevice({ id: deviceId })).device;
    assert.equal(shown && transports.show(shown.transport), transport);
    assert.deepEqual(shown?.capabilities, ['system.info', 'echo']);
    assert.equal((await daemon.admin.getStatus({})).connected, 1);
  });

  test(`over ${transport}, every failure on the device has a code`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const deviceId = device.identity.id;
    const slow = held();
    const agent = new TestAgent(t, device, await pair(daemon, device), {
      transport,
      capabilities: {
        broken: async () => {
          throw new Error('no such file');
        },
        large: async () => new Uint8Array(600 * 1024),
        slow: slow.capability,
      },
    });
    await agent.connected();
    const run = (capability: string, timeoutMs = 0) =>
      daemon.admin.executeCapability({ deviceId, capability, timeoutMs });
    await expectCode(run('missing'), 'CAPABILITY_UNKNOWN');
    assert.match((await expectCode(run('broken'), 'CAPABILITY_FAILED')).message, /no such file/);
    await expectCode(run('large'), 'CAPABILITY_OUTPUT_TOO_LARGE');
    await expectCode(run('slow', 50), 'CAPABILITY_TIMEOUT');
    // The device learns that the caller no longer waits.
    const signal = await slow.running;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    assert.deepEqual(parsed((await run('echo')).output), null);
    await expectCode(
      daemon.admin.executeCapability({ deviceId, capability: 'echo', input: new Uint8Array(513 * 1024) }),
      'MESSAGE_TOO_LARGE',
    );
    // The audit lists the calls that reached the device, and no others.
    const { entries } = await daemon.admin.listAudit({ subject: deviceId });
    const runs = entries.filter(({ action }) => action === 'capability.executed').reverse();
    assert.deepEqual(
      runs.map(({ detailJson }) => JSON.parse(detailJson)),
      [
        ['missing', 'CAPABILITY_UNKNOWN'],
        ['broken', 'CAPABILITY_FAILED'],
        ['large', 'CAPABILITY_OUTPUT_TOO_LARGE'],
        ['slow', 'CAPABILITY_TIMEOUT'],
        ['echo', 'OK'],
      ].map(([capability, outcome]) => ({ capability, outcome, by: 'admin socket' })),
    );
  });

  test(`over ${transport}, a call survives the device's reconnect`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const slow = held();
    const agent = new TestAgent(t, device, await pair(daemon, device), {
      transport,
      capabilities: { slow: slow.capability },
    });
    await agent.connected();
    const call = daemon.admin.executeCapability({
      deviceId: device.identity.id,
      capability: 'slow',
      input: json('across'),
    });
    await slow.running;
    agent.connections[0]?.destroy();
    await agent.connected(2);
    slow.release();
    const reply = await call;
    assert.equal(parsed(reply.output), 'across');
    assert.equal(reply.reconnects, 1);
  });

  test(`over ${transport}, a revoked device is told why at once, its call ends, and it stays away`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const deviceId = device.identity.id;
    const slow = held();
    const agent = new TestAgent(t, device, await pair(daemon, device), {
      transport,
      capabilities: { slow: slow.capability },
    });
    await agent.connected();
    const call = daemon.admin.executeCapability({ deviceId, capability: 'slow' });
    const refused = expectCode(call, 'DEVICE_REVOKED');
    await slow.running;
    await daemon.admin.revokeDevice({ id: deviceId, reason: 'lost' });
    await refused;
    assert.equal((await agent.ended)?.code, 'DEVICE_REVOKED');
    await agent.connections[0]?.closed;
    assert.equal(agent.states.filter((each) => each.state === 'connected').length, 1);
    await expectCode(
      daemon.admin.executeCapability({ deviceId, capability: 'echo' }),
      'DEVICE_NOT_CONNECTED',
    );
    slow.release();
  });
}

test('a run whose audit row could not be written is not recorded as failed', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const deviceId = device.identity.id;
  const agent = new TestAgent(t, device, await pair(daemon, device));
  await agent.connected();
  const { registry } = daemon.running.identity;
  t.mock.method(registry, 'transact', () => {
    t.mock.restoreAll();
    return Promise.reject(new IdentityError('STORE_FULL', 'The disk is full.'));
  });
  await expectCode(daemon.admin.executeCapability({ deviceId, capability: 'echo' }), 'STORE_FULL');
  const { entries } = await daemon.admin.listAudit({ subject: deviceId });
  assert.deepEqual(
    entries.filter(({ action }) => action === 'capability.executed'),
    [],
  );
});

for (const how of ['stopped', 'revoked'] as const) {
  test(`an agent that is ${how} exits after its programs have ended`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const deviceId = device.identity.id;
    const running = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const slow: Capability = async ({ input, signal }) => {
      running.resolve();
      await once(signal, 'abort');
      aborted.resolve();
      await release.promise;
      return input;
    };
    const agent = new TestAgent(t, device, await pair(daemon, device), { capabilities: { slow } });
    await agent.connected();
    const call = daemon.admin.executeCapability({ deviceId, capability: 'slow' }).catch(() => {});
    await running.promise;
    let hasEnded = false;
    const ended = agent.ended.then(() => {
      hasEnded = true;
    });
    if (how === 'stopped') void agent.stop();
    else await daemon.admin.revokeDevice({ id: deviceId, reason: 'lost' });
    await aborted.promise;
    // The answer comes after all earlier messages from the agent.
    await daemon.admin.getStatus({});
    assert.equal(hasEnded, false);
    release.resolve();
    await ended;
    await daemon.admin.revokeDevice({ id: deviceId, reason: 'lost' }).catch(() => {});
    await call;
  });
}

test('a restarted agent reports the calls of the previous agent as lost', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const slow = held();
  const first = new TestAgent(t, device, enrollment, { capabilities: { slow: slow.capability } });
  await first.connected();
  const lost = expectCode(
    daemon.admin.executeCapability({ deviceId: device.identity.id, capability: 'slow' }),
    'CAPABILITY_LOST',
  );
  await slow.running;
  await first.stop();
  const second = new TestAgent(t, device, enrollment);
  await second.connected();
  await lost;
  slow.release();
});
