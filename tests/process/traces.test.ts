// Traces, as a receiver of OTLP over HTTP gets them: one trace leads from a device's call to the registry.

import assert from 'node:assert/strict';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { dialNode, dialPairing, type NodeConnection, NodeService, PairingService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { dialNodeWeb } from '@palyra/transport-websocket';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { attribute, traceReceiver } from '../testing/trace-receiver.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';
const headers = { traceparent: `00-${traceId}-${spanId}-01` };

const quic = createQuic();
const dials = {
  http2: (e) => dialNode(e.nodeAddress, e),
  quic: (e) => dialNodeQuic(quic, e),
  websocket: (e) => dialNodeWeb(e),
} satisfies Record<string, (e: Awaited<ReturnType<typeof pair>>) => Promise<NodeConnection>>;

for (const [transport, dial] of Object.entries(dials))
  test(`one trace leads from a device's call over ${transport} to the registry`, async (t) => {
    const { url, spans, resources } = await traceReceiver(t);
    const daemon = await TestDaemon.start(t, { traces: { url }, web: { port: 0 } });
    const enrollment = { ...(await pair(daemon, await makeDevice())), webAddress: daemon.webAddress };
    const connection = await dial(enrollment);
    t.after(() => connection.close());
    const node = createClient(NodeService, connection.transport);
    await node.register({ platform: 'linux', capabilities: [] }, { headers });
    await node.status({});
    connection.close();
    await daemon.stop();

    const calls = spans.filter(({ kind, name }) => kind === 2 && name.startsWith('palyra.node.v1'));
    const [register, status] = ['Register', 'Status'].map((method) =>
      calls.find(({ name }) => name === `palyra.node.v1.NodeService/${method}`),
    );
    assert.ok(register && status);
    assert.deepEqual([register.traceId, register.parentSpanId], [traceId, spanId]);
    assert.deepEqual(
      ['rpc.service', 'rpc.method', 'palyra.caller', 'network.transport', 'palyra.outcome'].map((key) =>
        attribute(register, key),
      ),
      ['palyra.node.v1.NodeService', 'Register', 'device', transport, 'ok'],
    );
    const below = spans.filter(({ parentSpanId }) => parentSpanId === register.spanId);
    assert.ok(
      below.some(({ name }) => name === 'registry transact'),
      below.map(({ name }) => name).join(),
    );
    assert.ok(below.every((span) => span.traceId === traceId));
    assert.ok(below.every((span) => attribute(span, 'db.system') === 'sqlite'));
    assert.notEqual(status.traceId, traceId, 'a call without a trace begins one');
    assert.match(JSON.stringify(resources[0]), /"service.name","value":\{"stringValue":"palyra"\}/);
  });

test('a stranger cannot put its calls into a trace, and headers that are no trace are ignored', async (t) => {
  const { url, spans } = await traceReceiver(t);
  const daemon = await TestDaemon.start(t, { traces: { url } });
  const connection = await dialPairing(daemon.pairingAddress);
  const strange = createClient(PairingService, connection.transport);
  await strange.challenge({}, { headers });
  connection.close();
  const node = await daemon.node(await pair(daemon, await makeDevice()));
  for (const traceparent of [
    '',
    'x',
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `01-${traceId}-${spanId}-01`,
    'a'.repeat(8000),
  ])
    await node.status({}, { headers: { traceparent } });
  await daemon.stop();
  assert.ok(spans.some(({ name }) => name === 'palyra.pairing.v1.PairingService/Challenge'));
  assert.deepEqual(
    spans.filter((span) => span.traceId === traceId),
    [],
  );
});

test('a caller that does not record its trace is followed, and the ratio holds for the others', async (t) => {
  const { url, spans } = await traceReceiver(t);
  const daemon = await TestDaemon.start(t, { traces: { url, ratio: 0 } });
  const node = await daemon.node(await pair(daemon, await makeDevice()));
  await node.status({}, { headers: { traceparent: `00-${traceId}-${spanId}-00` } });
  await node.status({});
  await node.status({}, { headers });
  await daemon.stop();
  assert.deepEqual([...new Set(spans.map((span) => span.traceId))], [traceId]);
});

test('a receiver that never answers does not hold the daemon at its stop', async (t) => {
  const sockets: Socket[] = [];
  const silent = createTcpServer((socket) => {
    sockets.push(socket);
    socket.resume();
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/v1/traces`;
  const daemon = await TestDaemon.start(t, { traces: { url }, onError() {} });
  await (await daemon.node(await pair(daemon, await makeDevice()))).status({});
  const since = performance.now();
  await daemon.stop();
  assert.ok(sockets.length > 0);
  // Less than the time for a batch.
  assert.ok(performance.now() - since < 8_000);
});

test('a receiver that refuses or is away is reported once, and disturbs nobody', async (t) => {
  const { url, requests } = await traceReceiver(t, 503);
  for (const at of [url, 'http://127.0.0.1:9/v1/traces']) {
    const told: string[] = [];
    const daemon = await TestDaemon.start(t, {
      traces: { url: at },
      onError: (error, where) => told.push(`${where}: ${error}`),
    });
    const node = await daemon.node(await pair(daemon, await makeDevice()));
    for (let count = 0; count < 3; count += 1) await node.status({});
    await expectCode(daemon.admin.getDevice({ id: 'nobody' }), 'DEVICE_ID_INVALID');
    await daemon.stop();
    assert.equal(told.length, 1, told.join('\n'));
    assert.match(told[0]!, /^the traces: .*The receiver of traces at http:\/\/127\.0\.0\.1:\d+ fails/);
  }
  assert.ok(requests() > 0);
});
