// A name with several addresses, of which only one is the daemon's (RFC 8305).

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import dns from 'node:dns/promises';
import { once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import test, { type TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { NodeService, reachNode } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const name = 'daemon.palyra.test';

/** The resolver's answer for `name`. */
function resolve(t: TestContext, ...addresses: string[]): void {
  const all = addresses.map((address) => ({ address, family: net.isIP(address) }));
  t.mock.restoreAll();
  t.mock.method(dns, 'lookup', async (host: string) => {
    assert.equal(host, name);
    return all;
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

async function pairedAtName(t: TestContext) {
  // QUIC uses the same port number.
  const port = await freePort();
  const daemon = await TestDaemon.start(t, { ports: { pairing: 0, node: port } });
  const paired = await pair(daemon, await makeDevice());
  return { port, enrollment: { ...paired, nodeAddress: `${name}:${port}`, quicAddress: `${name}:${port}` } };
}

/** Accepts connections at ::1 and never sends anything. */
async function silent(t: TestContext, port: number): Promise<{ readonly taken: () => number }> {
  let taken = 0;
  const sockets = new Set<net.Socket>();
  const tcp = net.createServer((socket) => {
    taken += 1;
    sockets.add(socket.on('error', () => {}));
  });
  await once(tcp.listen(port, '::1'), 'listening');
  const udp = createSocket('udp6').on('message', () => {
    taken += 1;
  });
  await once(udp.bind(port, '::1'), 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    tcp.close();
    udp.close();
  });
  return { taken: () => taken };
}

const dialers = {
  http2: reachNode,
  quic: (enrollment: Parameters<typeof reachNode>[0]) => dialNodeQuic(createQuic(), enrollment),
};

for (const [transport, dial] of Object.entries(dialers)) {
  test(`an address without an answer is skipped, on ${transport}`, async (t) => {
    const { enrollment } = await pairedAtName(t);
    resolve(t, '::1', '127.0.0.1');
    const connection = await dial(enrollment);
    assert.ok((await createClient(NodeService, connection.transport).status({})).deviceId);
    connection.close();
  });

  test(`an address that accepts the connection but stays silent is skipped, on ${transport}`, async (t) => {
    const { enrollment, port } = await pairedAtName(t);
    const { taken } = await silent(t, port);
    resolve(t, '::1', '127.0.0.1');
    const connection = await dial(enrollment);
    assert.ok((await createClient(NodeService, connection.transport).status({})).deviceId);
    assert.ok(taken() > 0);
    connection.close();
  });

  test(`another daemon at the first address is skipped, on ${transport}`, async (t) => {
    const { enrollment, port } = await pairedAtName(t);
    await TestDaemon.start(t, { host: '::1', ports: { pairing: 0, node: port } });
    resolve(t, '::1', '127.0.0.1');
    const connection = await dial(enrollment);
    assert.ok((await createClient(NodeService, connection.transport).status({})).deviceId);
    connection.close();

    resolve(t, '::1');
    await expectCode(dial(enrollment), 'DAEMON_NOT_AUTHENTICATED');
  });
}
