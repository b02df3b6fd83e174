// A device has one channel in the whole fleet, and what happens to it when its daemon or its agent changes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import type { Capability } from '@palyra/agent';
import type { PairedEnrollment } from '@palyra/identity/device';
import { parseEndpoint } from '@palyra/identity/values';
import { fromConnectError } from '@palyra/rpc';
import type { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { onlyAt } from '../testing/only-at.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { json, TestAgent } from '../testing/test-agent.ts';
import { until } from '../testing/until.ts';

describe('the channel of a device in a fleet without notifications', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  test('a second agent at another daemon is refused and reported while the first one answers', async (t) => {
    const [a, b] = (await fleet.start(t, 2)) as [TestDaemon, TestDaemon];
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    const first = new TestAgent(t, device, onlyAt(enrollment, a), { transport: 'http2' });
    await first.connected();
    const second = new TestAgent(t, device, onlyAt(enrollment, b), { transport: 'http2' });
    assert.equal((await second.ended)?.code, 'CHANNEL_IN_USE');
    await a.told((event) => event.type === 'clone_suspected' && event.sign === 'second_agent');
    await first.stop();
    const third = new TestAgent(t, device, onlyAt(enrollment, b), { transport: 'http2' });
    await third.connected();
    assert.equal(third.address, b.nodeAddress);
    const { id } = device.identity;
    for (const { admin } of [a, b])
      await admin.executeCapability({ deviceId: id, capability: 'system.info' });
  });

  test('an agent whose daemon does not answer has its channel at another daemon, and the first one follows', async (t) => {
    const settings = await fleet.settings();
    const [a, b] = (await fleet.startProcesses(t, 2, settings)) as [DaemonProcess, DaemonProcess];
    const { device, enrollment } = await paired(a);
    const agent = new TestAgent(t, device, onlyAt(enrollment, a), { transport: 'http2' });
    await agent.connected();
    const { id } = device.identity;
    const [row] = await fleet.server.sql(settings.url, 'select * from channels');
    assert.equal(row?.device_id, id);
    a.process.send('SIGSTOP');
    t.after(() => a.process.send('SIGCONT'));
    const moved = new TestAgent(t, device, onlyAt(enrollment, b), { transport: 'http2' });
    await moved.connected();
    assert.equal(moved.address, b.nodeAddress);
    await (await b.admin()).executeCapability({ deviceId: id, capability: 'system.info' });
    a.process.send('SIGCONT');
    // Its agent learns that it was replaced.
    assert.equal((await agent.ended)?.code, 'CHANNEL_REPLACED');
    await (await a.admin()).executeCapability({ deviceId: id, capability: 'system.info' });
  });

  test('a daemon that dies during a call leaves a code that says so, and the device is reached at another one', async (t) => {
    const [a, b, c] = (await fleet.startProcesses(t, 3, await fleet.settings())) as [
      DaemonProcess,
      DaemonProcess,
      DaemonProcess,
    ];
    const { device, enrollment } = await paired(a);
    const { hang, begun } = hanging();
    const agent = new TestAgent(t, device, onlyAt(enrollment, a, b), {
      transport: 'http2',
      capabilities: { hang },
    });
    await agent.connected();
    const { id } = device.identity;
    const admin = await c.admin();
    const call = admin.executeCapability({ deviceId: id, capability: 'hang' });
    const outcome = expectCode(call, 'CAPABILITY_LOST');
    await begun;
    await a.kill();
    const { message } = await outcome;
    assert.match(message, /may or may not have run/);
    await until('the device is reached at another daemon', async () => {
      const error = await admin.executeCapability({ deviceId: id, capability: 'system.info' }).then(
        () => undefined,
        (cause) => fromConnectError(cause),
      );
      assert.ok(error === undefined || error.code === 'DEVICE_NOT_CONNECTED', String(error));
      return error === undefined;
    });
    assert.equal(agent.address, b.nodeAddress);
  });

  test('a device that moves to another daemon during a call leaves a code that says so', async (t) => {
    const [a, b, c] = (await fleet.start(t, 3)) as [TestDaemon, TestDaemon, TestDaemon];
    const device = await makeDevice();
    const enrollment = await pair(a, device);
    const { hang, begun } = hanging();
    const link = await cuttable(t, a.nodeAddress);
    const agent = new TestAgent(t, device, onlyAt(enrollment, link, b), {
      transport: 'http2',
      capabilities: { hang },
    });
    await agent.connected();
    assert.equal(agent.address, link.nodeAddress);
    const { id } = device.identity;
    const outcome = expectCode(
      c.admin.executeCapability({ deviceId: id, capability: 'hang' }),
      'CAPABILITY_LOST',
    );
    await begun;
    link.cut();
    assert.match((await outcome).message, /may or may not have run/);
    assert.equal(agent.address, b.nodeAddress);
    await c.admin.executeCapability({ deviceId: id, capability: 'system.info' });
  });

  /** A capability that runs until it is cancelled. */
  function hanging(): { readonly hang: Capability; readonly begun: Promise<void> } {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const hang: Capability = ({ signal }) =>
      new Promise((resolve) => {
        begin();
        signal.addEventListener('abort', () => resolve(json(null)));
      });
    return { hang, begun };
  }

  /** A link to a daemon, until it is cut. */
  async function cuttable(t: TestContext, address: string) {
    const { host, port } = parseEndpoint(address);
    const open: Socket[] = [];
    const relay = createServer((client) => {
      const daemon = connect({ host, port });
      open.push(client, daemon);
      for (const each of [client, daemon]) each.on('error', () => {});
      client.pipe(daemon).pipe(client);
    });
    const cut = () => {
      relay.close();
      for (const each of open) each.destroy();
    };
    t.after(cut);
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    return { nodeAddress: `127.0.0.1:${(relay.address() as AddressInfo).port}`, cut };
  }

  async function paired(daemon: DaemonProcess) {
    const device = await makeDevice();
    const admin = await daemon.admin();
    const { pairingAddress } = daemon;
    const pairing = { admin, pairingAddress, peer: (known?: never) => daemon.peer(known) };
    const enrollment: PairedEnrollment = await pair(pairing as never, device);
    return { device, enrollment };
  }
});
