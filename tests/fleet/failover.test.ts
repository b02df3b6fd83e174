// Devices learn the endpoints of every daemon, and are back soon when their daemon dies.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { loadEnrollments, webEndpoints } from '@palyra/identity/device';
import type { DaemonProcess } from '../testing/daemon-process.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { TestAgent } from '../testing/test-agent.ts';
import { until } from '../testing/until.ts';

const transports = ['http2', 'quic', 'websocket'] as const;
/** The promise, and as much again for a machine that is busy with other tests. */
const backWithinMs = 5_000;
const generouslyMs = 10_000;

describe('the endpoints of a fleet', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('reach a device at its pairing, without being configured: first those of its daemon', async (t) => {
    const daemons = (await fleet.start(t, 3)) as [TestDaemon, TestDaemon, TestDaemon];
    const [, b] = daemons;
    const told = await until('it knows the other daemons', async () => {
      await b.running.tick();
      const { told } = await pair(b, await makeDevice());
      return told?.node.length === 3 && told;
    });
    const nodes = daemons.map(({ nodeAddress }) => nodeAddress);
    assert.equal(told.node[0], b.nodeAddress);
    assert.deepEqual([...told.node].sort(), [...nodes].sort());
    const quics = daemons.map(
      ({ running }) => running.listeners.find(({ name }) => name === 'quic')?.address,
    );
    assert.deepEqual([...told.quic].sort(), quics.sort());
    assert.deepEqual([...told.pairing].sort(), daemons.map(({ pairingAddress }) => pairingAddress).sort());
  });

  test('are those of the configuration where it has some', async (t) => {
    const settings = await fleet.settings();
    await fleet.start(t, 1, { endpoints: { node: ['a.example.net:7444'] } }, settings);
    const [b] = await fleet.start(
      t,
      1,
      { endpoints: { node: ['b.example.net:7444', 'b.example.net:443'] } },
      settings,
    );
    const { told } = await pair(b!, await makeDevice());
    assert.deepEqual(told?.node, ['b.example.net:7444', 'b.example.net:443', 'a.example.net:7444']);
  });

  test('of a daemon that joins later reach the devices that are connected', async (t) => {
    const settings = await fleet.settings();
    const [a] = await fleet.start(t, 1, {}, settings);
    const device = await makeDevice();
    const agent = new TestAgent(t, device, await pair(a!, device), { transport: 'http2' });
    await agent.connected();
    const [b] = await fleet.start(t, 1, {}, settings);
    await a!.running.tick();
    await until('the device has stored the new endpoint', async () => {
      const [enrollment] = await loadEnrollments(device.secrets);
      return enrollment?.state === 'paired' && enrollment.told?.node.includes(b!.nodeAddress);
    });
  });

  test('bring an agent back to another daemon within 5 s after its daemon was killed', async (t) => {
    const extra = { web: { host: '127.0.0.1', port: 0 } };
    const daemons = await fleet.startProcesses(t, 3, await fleet.settings(), extra);
    const [a, b] = daemons as [DaemonProcess, DaemonProcess];
    const agents = await Promise.all(transports.map((transport) => connect(t, a, transport)));
    await a.kill();
    const killedAt = performance.now();
    const delays = await Promise.all(
      agents.map(async (agent) => {
        await agent.connected(2);
        return performance.now() - killedAt;
      }),
    );
    t.diagnostic(
      `back after ${transports.map((name, at) => `${name} ${Math.round(delays[at]!)} ms`).join(', ')}`,
    );
    for (const [at, agent] of agents.entries()) {
      const connection = agent.connections.at(-1)!;
      assert.equal(connection.name, transports[at]);
      assert.notEqual(connection.address, agent.connections[0]!.address);
      assert.ok(delays[at]! < generouslyMs, `${transports[at]}: ${delays[at]}`);
    }
    assert.ok(Math.min(...delays) < backWithinMs);
    const { connected } = await (await b.admin()).getStatus({});
    assert.equal(connected, agents.length);
  });

  async function connect(t: TestContext, daemon: DaemonProcess, transport: (typeof transports)[number]) {
    const admin = await daemon.admin();
    const pairing = {
      admin,
      pairingAddress: daemon.pairingAddress,
      peer: (known?: never) => daemon.peer(known),
    };
    // A connection that was opened before the device knew several daemons notices a silent end later.
    const { device, enrollment } = await until('the daemon knows the others', async () => {
      const device = await makeDevice();
      const enrollment = await pair(pairing as never, device);
      return enrollment.told?.node.length === 3 && { device, enrollment };
    });
    if (transport === 'websocket') assert.equal(webEndpoints(enrollment)[0], daemon.webAddress);
    const agent = new TestAgent(t, device, enrollment, { transport, retryMs: 500 });
    await agent.connected();
    return agent;
  }
});
