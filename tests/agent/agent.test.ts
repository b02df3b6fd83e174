// The device's agent against a real daemon, over both transports.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentState, builtInCapabilities, type Capability, quicFirst, runAgent } from '@palyra/agent';
import { IdentityError, MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { type PairedEnrollment, recoverCertificate, renewCertificate } from '@palyra/identity/device';
import { dialNode, dialPairing, type NodeConnection, recoveryPeer } from '@palyra/rpc';
import {
  CertificateState,
  DeviceState,
  ExplainResponse_Decision,
  Transport,
  transports,
} from '@palyra/rpc/admin';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { day, HeldClock, hour } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice } from '../testing/sample-device.ts';
import { until, within } from '../testing/until.ts';

const quic = createQuic();
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const parsed = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

class TestAgent {
  readonly states: AgentState[] = [];
  readonly connections: NodeConnection[] = [];
  /** Resolves when the agent has ended, with why. */
  readonly ended: Promise<IdentityError | undefined>;
  readonly #stop = new AbortController();
  readonly #watchers = new Set<() => void>();

  constructor(
    t: TestContext,
    device: SampleDevice,
    enrollment: PairedEnrollment,
    options: {
      transport?: 'http2' | 'quic';
      capabilities?: Record<string, Capability>;
      retryMs?: number;
    } = {},
  ) {
    const http2 = (e: PairedEnrollment) => dialNode(e.nodeAddress, e);
    const dial =
      options.transport === 'http2'
        ? http2
        : quicFirst((e, options) => dialNodeQuic(quic, e, options), http2);
    this.ended = runAgent({
      device,
      enrollment,
      dial: async (e) => {
        const connection = await dial(e);
        this.connections.push(connection);
        return connection;
      },
      dialRecovery: (e) => dialPairing(e.address, e),
      capabilities: new Map([...builtInCapabilities, ...Object.entries(options.capabilities ?? {})]),
      platform: 'linux x64',
      signal: this.#stop.signal,
      retryMs: options.retryMs ?? 20,
      onState: (state) => {
        this.states.push(state);
        for (const watcher of this.#watchers) watcher();
      },
    }).then(
      () => undefined,
      (error) => error,
    );
    t.after(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  /** Resolves when it has been connected this often. */
  async connected(times = 1): Promise<void> {
    await this.until((states) => states.filter((each) => each.state === 'connected').length >= times);
  }

  async until(enough: (states: readonly AgentState[]) => boolean): Promise<void> {
    while (!enough(this.states)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#watchers.add(resolve);
      await within(() => `another state than ${JSON.stringify(this.states.at(-1))}`, promise);
      this.#watchers.delete(resolve);
    }
  }
}

/** A capability that tells when it runs and ends when it is let go. */
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

  test(`over ${transport}, what goes wrong on the device has a code`, async (t) => {
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
    // The device hears that nobody waits any more.
    const signal = await slow.running;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    assert.deepEqual(parsed((await run('echo')).output), null);
    await expectCode(
      daemon.admin.executeCapability({ deviceId, capability: 'echo', input: new Uint8Array(513 * 1024) }),
      'MESSAGE_TOO_LARGE',
    );
    // What was run is in the audit, not what never reached the device.
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

test('a run that could not be written down is not written down as one that failed', async (t) => {
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
  test(`an agent that is ${how} ends when what it ran has ended`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const deviceId = device.identity.id;
    const running = Promise.withResolvers<void>();
    let hasEnded = false;
    const slow: Capability = async ({ input, signal }) => {
      running.resolve();
      await once(signal, 'abort');
      await sleep(50);
      hasEnded = true;
      return input;
    };
    const agent = new TestAgent(t, device, await pair(daemon, device), { capabilities: { slow } });
    await agent.connected();
    const call = daemon.admin.executeCapability({ deviceId, capability: 'slow' }).catch(() => {});
    await running.promise;
    if (how === 'stopped') await agent.stop();
    else await daemon.admin.revokeDevice({ id: deviceId, reason: 'lost' });
    await agent.ended;
    assert.ok(hasEnded);
    await daemon.admin.revokeDevice({ id: deviceId, reason: 'lost' }).catch(() => {});
    await call;
  });
}

test('an agent that was started anew says that the calls of the one before are lost', async (t) => {
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

for (const transport of ['http2', 'quic'] as const) {
  test(`over ${transport}, a second agent of a copied home is refused and reported, and the first one stays`, async (t) => {
    const daemon = await TestDaemon.start(t);
    const device = await makeDevice();
    const enrollment = await pair(daemon, device);
    const first = new TestAgent(t, device, enrollment, { transport });
    await first.connected();
    const deviceId = device.identity.id;
    for (let turn = 0; turn < 3; turn += 1) {
      const copy = new TestAgent(t, device, enrollment, { transport });
      assert.equal((await copy.ended)?.code, 'CHANNEL_IN_USE');
    }
    const { serial } = readPeerCertificate(enrollment.certificateChain[0]!);
    assert.deepEqual(
      daemon.events.flatMap((event) => (event.type === 'clone_suspected' ? [event.serial, event.sign] : [])),
      [serial, 'second_agent'],
    );
    const { entries } = await daemon.admin.listAudit({ subject: serial });
    assert.deepEqual(
      entries
        .filter(({ action }) => action === 'certificate.reused')
        .map((row) => JSON.parse(row.detailJson)),
      [{ device: deviceId, source: '127.0.0.1', sign: 'second_agent' }],
    );
    const { decision, reasons } = await daemon.admin.explain({ id: deviceId });
    assert.equal(decision, ExplainResponse_Decision.ALLOWED);
    assert.match(reasons.join(' '), /a second agent connected .* from 127\.0\.0\.1/);
    await daemon.admin.executeCapability({ deviceId, capability: 'echo' });
    assert.equal(first.states.filter(({ state }) => state === 'connected').length, 1);
  });
}

test('where copies are shut out, a second agent shuts both out', async (t) => {
  const daemon = await TestDaemon.start(t, { cloning: 'quarantine' });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const both = [new TestAgent(t, device, enrollment)];
  await both[0]!.connected();
  both.push(new TestAgent(t, device, enrollment));
  await both[0]!.until((states) =>
    states.some((each) => each.state === 'disconnected' && each.error.code === 'DEVICE_QUARANTINED'),
  );
  assert.equal(
    (await daemon.admin.getDevice({ id: device.identity.id })).device?.state,
    DeviceState.QUARANTINED,
  );
  await expectCode((await daemon.node(enrollment)).status({}), 'DEVICE_QUARANTINED');
});

test('an agent goes on at once each time something else on its machine has renewed, and sees no copy in it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  let enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment, { retryMs: 60_000 });
  await agent.connected();
  for (let times = 2; times < 5; times += 1) {
    // As `palyra renew` does: ask, store, use.
    const node = await daemon.node(enrollment);
    enrollment = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
    await (await daemon.node(enrollment)).status({});
    await agent.connected(times);
  }
  assert.deepEqual(
    agent.states.filter(({ state }) => state === 'disconnected'),
    [],
  );
  assert.deepEqual(
    daemon.events.filter(({ type }) => type === 'clone_suspected'),
    [],
  );
});

test('an agent whose certificate alone was revoked waits for the operator', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  const { serial } = readPeerCertificate(enrollment.certificateChain[0]!);
  await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
  const asks = (states: readonly AgentState[]) =>
    states.some((each) => each.state === 'disconnected' && each.error.code === 'RECOVERY_NEEDS_APPROVAL');
  await agent.until(asks);
  assert.ok((await daemon.admin.getDevice({ id: device.identity.id })).device!.recoveryAskedMs > 0n);
  await agent.stop();
  assert.equal(await agent.ended, undefined, 'it did not end by itself');
  await daemon.admin.releaseDevice({ id: device.identity.id });
  const again = new TestAgent(t, device, enrollment);
  await again.connected();
});

test('an agent comes back to a daemon that was restarted', async (t) => {
  const ports = { pairing: await freePort(), node: await freePort() };
  const daemon = await TestDaemon.start(t, { ports });
  const device = await makeDevice();
  const agent = new TestAgent(t, device, await pair(daemon, device));
  await agent.connected();
  await daemon.stop();
  const again = await TestDaemon.start(t, { ports, home: daemon.home });
  await agent.connected(2);
  const { output } = await again.admin.executeCapability({
    deviceId: device.identity.id,
    capability: 'echo',
    input: json(7),
  });
  assert.equal(parsed(output), 7);
});

test('where nothing answers on UDP, the device uses HTTP/2 and says why', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = { ...(await pair(daemon, device)), quicAddress: '127.0.0.1:9' };
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  const shown = (await daemon.admin.getDevice({ id: device.identity.id })).device;
  assert.equal(shown?.transport, Transport.HTTP2);
  assert.match(shown?.quicProblem ?? '', /answer|reach|timed/i);
});

test('where the daemon has as many QUIC connections as it takes, the device uses HTTP/2 and says why', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { quicConnections: 1 } });
  const [first, second] = [await makeDevice(), await makeDevice()];
  const holder = new TestAgent(t, first, await pair(daemon, first));
  await holder.connected();
  const agent = new TestAgent(t, second, await pair(daemon, second));
  await agent.connected();
  const shown = (await daemon.admin.getDevice({ id: second.identity.id })).device;
  assert.equal(shown?.transport, Transport.HTTP2);
  assert.match(shown?.quicProblem ?? '', /as many connections as it takes/);
  assert.equal(holder.states.filter(({ state }) => state === 'connected').length, 1, 'nobody pushed it out');

  // Each time it connects it tries QUIC again, and finds a place once that of the holder is free.
  await holder.stop();
  let times = 1;
  await until('a connection over QUIC', async () => {
    agent.connections.at(-1)?.destroy();
    times += 1;
    await agent.connected(times);
    return (await daemon.admin.getDevice({ id: second.identity.id })).device?.transport === Transport.QUIC;
  });
});

test('an agent comes back with the certificate that something else on its machine has renewed', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  const node = await daemon.node(enrollment);
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  agent.connections[0]!.close();
  await agent.connected(2);
  const { serial } = readPeerCertificate(renewed.certificateChain[0]!);
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(certificates.find((each) => each.serial === serial)?.state, CertificateState.ACTIVE);
});

test('an agent takes up a newer certificate though the clock was set back', async (t) => {
  const daemon = await TestDaemon.start(t);
  const clock = new HeldClock();
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment);
  await agent.connected();
  clock.advance(-hour);
  const node = await daemon.node(enrollment);
  const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
  await (await daemon.node(renewed)).status({});
  await agent.connected(2);
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.equal(certificates.length, 2, 'it did not have to recover');
});

test('an agent whose clock is ahead by more than a certificate lives does not renew at each connection', async (t) => {
  const daemon = await TestDaemon.start(t);
  const clock = new HeldClock();
  const device = await makeDevice({ clock });
  const enrollment = await pair(daemon, device);
  clock.advance(2 * day);
  const agent = new TestAgent(t, device, { ...enrollment, receivedAt: clock.now().getTime() });
  await agent.connected();
  agent.connections[0]!.close();
  await agent.connected(2);
  assert.equal(agent.states.filter(({ state }) => state === 'renewed').length, 0);
});

test('an agent that recovers against a copy of its device pauses longer each time, and says what it means', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const agent = new TestAgent(t, device, enrollment, { retryMs: 1 });
  const thief = { ...device, secrets: new MemorySecretStore() };
  const pauses = () =>
    agent.states.flatMap((each) =>
      each.state === 'disconnected' && each.error.code === 'CERTIFICATE_SUPERSEDED' ? [each] : [],
    );
  for (let turn = 0; turn <= 2; turn += 1) {
    await agent.connected(turn + 1);
    const connection = await dialPairing(enrollment.address, enrollment);
    daemon.closeAtEnd(connection);
    const stolen = await recoverCertificate(thief, enrollment, recoveryPeer(connection));
    await (await daemon.node(stolen)).status({});
    // The first time it comes back at once: its newest certificate may just have been lost.
    await agent.until(() => pauses().length === turn);
  }
  const [first, second] = pauses();
  assert.ok(first!.retryInMs >= 64 && second!.retryInMs >= 128, `${first!.retryInMs}, ${second!.retryInMs}`);
  assert.match(first!.error.message, /another machine may have the keys of this device/);
  assert.equal(daemon.events.filter(({ type }) => type === 'clone_suspected').length, 1);
});
