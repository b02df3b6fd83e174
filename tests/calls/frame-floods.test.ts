// Frames that cost the sender little: PINGs, and endless frames.

import assert from 'node:assert/strict';
import test from 'node:test';
import { NodeService } from '@palyra/rpc';
import {
  flag,
  frameType,
  postHeaders,
  RawHttp2,
  rawFrame,
} from '../../packages/rpc/src/testing/raw-http2.ts';
import { contentType, RawTls } from '../../packages/rpc/src/testing/raw-tls.ts';
import { bareSocket } from '../testing/bare-tls.ts';
import { of, open, register, registerMessage, sendData, services, settled } from '../testing/device-calls.ts';
import { deviceListener } from '../testing/device-listener.ts';
import { until } from '../testing/until.ts';

/** Each gets an answer of HEADERS only. */
for (const [what, path] of [
  ['a refusal', `/${NodeService.typeName}/Nobodys`],
  ['an unknown path', '/nobody.v1.Serves/This'],
] as const) {
  test(`a PING for ${what} does not count either`, async (t) => {
    const { connect, told } = await deviceListener(t, {
      routes: (router) => router.rpc({ ...NodeService.method.register, name: 'Nobodys' }, () => ({})),
      limits: { controlFrames: 20 },
    });
    const client = await connect();
    for (let stream = 1; stream < 400; stream += 2) {
      open(client, stream, path);
      sendData(client, stream, registerMessage(10), true);
      await client.frame(of(frameType.headers, stream));
      client.send(frameType.ping, { payload: Buffer.alloc(8) });
    }
    await settled(client);
    assert.ok(!told.includes('flood'));
  });
}

test('a client that sends a PING for each of our frames is served; one that sends unprompted PINGs is not', async (t) => {
  const { routes, got } = services();
  const { connect, told } = await deviceListener(t, { routes, limits: { controlFrames: 20 } });
  const client = await connect();
  for (let stream = 1; stream < 400; stream += 2) {
    open(client, stream);
    sendData(client, stream, registerMessage(10), true);
    await client.frame(
      ({ type, flags, stream: id }) =>
        id === stream && type === frameType.headers && (flags & flag.endStream) > 0,
    );
    client.send(frameType.ping, { payload: Buffer.alloc(8) });
  }
  await settled(client);
  assert.equal(got.length, 200);
  assert.ok(!told.includes('flood'));
  for (let n = 0; n < 200; n += 1) client.send(frameType.ping, { payload: Buffer.alloc(8) });
  await client.closed;
  assert.ok(told.includes('flood'));
});

test('a peer with a foreign certificate may not flood PINGs while it waits for its refusal', async (t) => {
  const { routes } = services();
  const { address, tls, told, event } = await deviceListener(t, { routes, limits: { controlFrames: 20 } });
  const { cert, key } = (await deviceListener(t, { routes })).tls;
  const socket = await bareSocket(address, { ...tls, cert, key });
  t.after(() => socket.destroy());
  const client = new RawHttp2(socket);
  for (let n = 0; n < 200; n += 1) client.send(frameType.ping, { payload: Buffer.alloc(8) });
  await client.closed;
  await event('refused_foreign_certificate');
  assert.ok(told.includes('flood'));
});

/** The first bytes of an admitted session. */
const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  rawFrame(frameType.settings),
]);

for (const [what, next] of [
  ['KeyUpdates', (client: RawTls) => client.keyUpdate()],
  [
    'records with one byte of a frame',
    (client: RawTls, n: number) => client.record(Buffer.of(unknownFrame[n % 17]!)),
  ],
] as [string, (client: RawTls, n: number) => Buffer][]) {
  test(`a connection that keeps sending ${what} is closed, and delays others only briefly`, async (t) => {
    const { routes } = services();
    const { address, tls, event, connect } = await deviceListener(t, { routes });
    const other = await connect();
    const client = await RawTls.connect(address, tls);
    t.after(() => client.socket.destroy());
    await client.pour(client.record(preface));
    let longest = 0;
    let isOver = false;
    const waits = (async () => {
      for (let stream = 1; !isOver; stream += 2) {
        const began = performance.now();
        open(other, stream);
        sendData(other, stream, registerMessage(10), true);
        await other.frame(of(frameType.headers, stream));
        other.frames.length = 0;
        longest = Math.max(longest, performance.now() - began);
      }
    })();
    let sent = 0;
    for (let stands = true; stands && sent < 500_000; ) {
      const batch = Array.from({ length: 200 }, () => next(client, sent++));
      stands = await client.pour(Buffer.concat(batch));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await event('flood');
    isOver = true;
    await waits;
    assert.ok(sent < 500_000, 'the daemon never closed it');
    t.diagnostic(`${sent} sent, longest wait ${longest.toFixed(0)} ms`);
    assert.ok(longest < 3_000, `${longest} ms`);
  });
}

/** A frame of an unknown type, which the daemon ignores. */
const unknownFrame = rawFrame(0xfa, { payload: Buffer.alloc(8) });

test('a hundred KeyUpdates among calls do not count as a flood', async (t) => {
  const { routes, got } = services();
  const { address, tls, told } = await deviceListener(t, { routes });
  const client = await RawTls.connect(address, tls);
  t.after(() => client.socket.destroy());
  await client.pour(client.record(preface));
  for (let stream = 1; stream < 200; stream += 2) {
    const call = Buffer.concat([
      rawFrame(frameType.headers, { stream, flags: flag.endHeaders, payload: postHeaders(register) }),
      rawFrame(frameType.data, { stream, flags: flag.endStream, payload: registerMessage(10) }),
    ]);
    await client.pour(client.record(call, contentType.data));
    await client.pour(client.keyUpdate());
    await until('the call', () => got.length >= (stream + 1) / 2 || client.socket.closed);
  }
  assert.equal(got.length, 100);
  assert.ok(!told.includes('flood'));
});
