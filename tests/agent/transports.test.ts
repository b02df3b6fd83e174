// The transport that an agent chooses, and what it reports about the other one.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Transport } from '@palyra/rpc/admin';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { TestAgent } from '../testing/test-agent.ts';
import { until } from '../testing/until.ts';

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

test('when the daemon has no room for QUIC connections, the device uses HTTP/2 and says why', async (t) => {
  const daemon = await TestDaemon.start(t, { limits: { quicConnections: 1 } });
  const [first, second] = [await makeDevice(), await makeDevice()];
  const holder = new TestAgent(t, first, await pair(daemon, first));
  await holder.connected();
  const agent = new TestAgent(t, second, await pair(daemon, second));
  await agent.connected();
  const shown = (await daemon.admin.getDevice({ id: second.identity.id })).device;
  assert.equal(shown?.transport, Transport.HTTP2);
  assert.match(shown?.quicProblem ?? '', /limit of connections/);
  assert.equal(
    holder.states.filter(({ state }) => state === 'connected').length,
    1,
    'the holder kept its connection',
  );

  // It tries QUIC at each connection, and gets a place once the holder's place is free.
  await holder.stop();
  let times = 1;
  await until('a connection over QUIC', async () => {
    agent.connections.at(-1)?.destroy();
    times += 1;
    await agent.connected(times);
    return (await daemon.admin.getDevice({ id: second.identity.id })).device?.transport === Transport.QUIC;
  });
});
