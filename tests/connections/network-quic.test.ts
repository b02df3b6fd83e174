// The QUIC path between a device and its daemon: with loss, delay, reordering and a changed port; and a client with
// another program.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import { createClient } from '@connectrpc/connect';
import { type AgentState, builtInCapabilities, runAgent } from '@palyra/agent';
import { dialPairing, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { UdpPath, type Weather } from '../testing/held-path.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

const quic = createQuic();

/** Reproducible network faults: mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** 5 % of the packets are lost. The others take 100 ms, and a quarter of them 20 ms less, so that they overtake others. */
function storm(seed: number): Weather {
  const draw = random(seed);
  return () => (draw() < 0.05 ? undefined : draw() < 0.25 ? 80 : 100);
}

test('an agent works although 5 % of the packets are lost and the others arrive late and out of order', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const path = await UdpPath.to(t, enrollment.quicAddress!);
  path.weather = storm(1);
  const stop = new AbortController();
  const connected = Promise.withResolvers<AgentState>();
  const ended = runAgent({
    device,
    enrollment: { ...enrollment, quicAddress: path.address },
    dial: (known) => dialNodeQuic(quic, known),
    dialRecovery: (known) => dialPairing(known.address, known),
    capabilities: builtInCapabilities,
    platform: 'linux x64',
    signal: stop.signal,
    retryMs: 20,
    onState: (state) => state.state === 'connected' && connected.resolve(state),
  });
  await connected.promise;
  const input = new TextEncoder().encode(JSON.stringify('x'.repeat(100_000)));
  for (let count = 0; count < 3; count += 1) {
    const call = { deviceId: device.identity.id, capability: 'echo', input };
    const outputs = await Promise.all([
      daemon.admin.executeCapability(call),
      daemon.admin.executeCapability(call),
    ]);
    for (const { output } of outputs) assert.deepEqual(Buffer.from(output), Buffer.from(input));
  }
  assert.ok(path.lost > 0 && path.carried > 150, `${path.lost} lost, ${path.carried} carried`);
  t.diagnostic(`${path.lost} packets lost, ${path.carried} carried`);
  stop.abort();
  await ended;
});

test('a connection and its running calls survive a NAT that assigns another port', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const path = await UdpPath.to(t, enrollment.quicAddress!);
  const connection = await dialNodeQuic(quic, { ...enrollment, quicAddress: path.address });
  daemon.closeAtEnd(connection);
  const node = createClient(NodeService, connection.transport);
  let closed = false;
  connection.closed.then(() => {
    closed = true;
  });
  await node.status({});
  path.hold();
  const underWay = Array.from({ length: 5 }, () => node.status({}));
  await path.rebind();
  path.release();
  for (const { deviceId } of await Promise.all(underWay)) assert.equal(deviceId, device.identity.id);
  assert.equal(closed, false);
  // The connection still belongs to the same device, so a revocation can close it.
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await connection.closed;
});

const foreignClient = 'gtlsclient';
const { error } = spawnSync(foreignClient, ['--help']);
const skip = error ? `NOT TESTED: ${foreignClient} is missing (Debian: ngtcp2-client)` : false;

test("ngtcp2's client, which speaks another protocol, is refused in the handshake and leaves nothing behind", {
  skip,
}, async (t) => {
  const daemon = await TestDaemon.start(t);
  const enrollment = await pair(daemon, await makeDevice());
  const [host, port] = enrollment.quicAddress!.split(':') as [string, string];
  const words = ['--timeout=5s', host, port, `https://${enrollment.trustDomain}/`];
  const client = spawn(foreignClient, words, { timeout: longestWaitMs });
  const [said] = await Promise.all([text(client.stderr), text(client.stdout)]);
  // RFC 9001 4.8: 0x100 and the TLS alert no_application_protocol, 120. The same client with a matching protocol is tested in
  // foreign-client.test.ts of transport-quic.
  assert.match(said, /frm rx .*CONNECTION_CLOSE.*CRYPTO_ERROR\(0x178\)/);
  assert.doesNotMatch(said, /QUIC handshake has been confirmed/);
  const connection = await dialNodeQuic(quic, enrollment);
  daemon.closeAtEnd(connection);
  await createClient(NodeService, connection.transport).status({});
});
