// The bytes that a peer may leave with the daemon over HTTP/2: bodies before the registry has decided and after it has refused,
// incomplete messages, headers, frames and records that cost their sender nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import test from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Code } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { NodeService } from '@palyra/rpc';
import {
  flag,
  frameType,
  type RawHttp2,
  rawFrame,
  uint32,
} from '../../packages/rpc/src/testing/raw-http2.ts';
import {
  events,
  firstWindow,
  granted,
  mib,
  NGHTTP2_NO_ERROR,
  of,
  open,
  register,
  registerMessage,
  sendData,
  services,
  settled,
} from '../testing/device-calls.ts';
import { deviceListener } from '../testing/device-listener.ts';
import { until } from '../testing/until.ts';

for (const path of [register, events]) {
  test(`while the registry decides, ${path} gets its first window and no more, and afterwards the rest`, async (t) => {
    const { routes, got } = services();
    const decided = Promise.withResolvers<void>();
    const { connect, identity, unfinished } = await deviceListener(t, {
      routes,
      authenticator: {
        admit: async (fingerprint, source) => {
          await decided.promise;
          return identity.admit(fingerprint, source);
        },
      },
    });
    const client = await connect();
    open(client, 1, path);
    const message = registerMessage(200_000);
    sendData(client, 1, message.subarray(0, firstWindow));
    await settled(client);
    assert.equal(granted(client, 1), 0);
    assert.equal(unfinished.bytes, firstWindow);

    decided.resolve();
    await client.frame(of(frameType.windowUpdate, 1));
    if (path === register) {
      while (granted(client, 1) < firstWindow) await settled(client);
      sendData(client, 1, message.subarray(firstWindow, 2 * firstWindow));
      while (granted(client, 1) < 2 * firstWindow) await settled(client);
      sendData(client, 1, message.subarray(2 * firstWindow, 3 * firstWindow));
      while (granted(client, 1) < 3 * firstWindow) await settled(client);
      sendData(client, 1, message.subarray(3 * firstWindow), true);
      await client.frame(of(frameType.headers, 1));
      assert.deepEqual(got, [200_000]);
      assert.equal(unfinished.bytes, 0);
    }
  });
}

test('while the registry decides, a connection holds no more than its share, however many calls it makes', async (t) => {
  const { routes } = services();
  const decided = Promise.withResolvers<never>();
  decided.promise.catch(() => {});
  const { connect, unfinished } = await deviceListener(t, {
    routes,
    authenticator: { admit: () => decided.promise },
    unfinished: { unknownBytes: 100_000 },
  });
  const client = await connect();
  for (let stream = 1; stream <= 19; stream += 2) {
    open(client, stream);
    sendData(client, stream, registerMessage(200_000).subarray(0, 60_000));
    // The connection as a whole is granted the same amount again.
    await settled(client);
  }
  assert.ok(unfinished.bytes <= 100_000, `${unfinished.bytes}`);
  decided.reject(new IdentityError('DEVICE_REVOKED', 'gone'));
  await client.closed;
  assert.equal(unfinished.bytes, 0);
});

test('a device that is refused gets each call answered without its body, and the connection ends', async (t) => {
  const { routes, got } = services();
  const refused = new IdentityError('DEVICE_REVOKED', 'The operator has revoked this device.');
  const { connect, unfinished, event } = await deviceListener(t, {
    routes,
    authenticator: { admit: () => Promise.reject(refused) },
  });
  const client = await connect();
  await event('refused_standing');
  const began = performance.now();
  open(client, 1);
  // The rest of the message never arrives, so the answer does not depend on its end.
  sendData(client, 1, registerMessage(200_000).subarray(0, 30_000));
  const answer = await client.frame(of(frameType.headers, 1));
  assert.ok(answer.flags & flag.endStream);
  while (await client.pour(rawFrame(frameType.data, { stream: 1, payload: Buffer.alloc(16_384) })))
    assert.ok(performance.now() - began < 4_000, 'the daemon still reads');
  assert.equal(granted(client, 1), 0);
  assert.equal(unfinished.bytes, 0);
  assert.deepEqual(got, []);
});

for (const contentType of ['application/grpc+proto', 'application/json', 'application/connect+proto']) {
  test(`a forbidden call is refused before its body is read: ${contentType}`, async (t) => {
    const { address, tls } = await deviceListener(t, {
      routes: (router) => router.rpc({ ...NodeService.method.register, name: 'Nobodys' }, () => ({})),
    });
    const session = http2.connect(`https://${address}`, tls);
    t.after(() => session.destroy());
    const call = session.request({
      ':method': 'POST',
      ':path': `/${NodeService.typeName}/Nobodys`,
      'content-type': contentType,
    });
    call.on('error', () => {});
    call.write(Buffer.alloc(1000));
    const [headers] = await once(call, 'response');
    if (contentType.includes('grpc')) assert.equal(headers['grpc-status'], String(Code.PermissionDenied));
    else assert.equal(headers[':status'], 403);
    call.resume();
    await once(call, 'close');
    assert.equal(call.rstCode, NGHTTP2_NO_ERROR);
  });
}

test('incomplete messages of a device are bounded, and every kind of end makes room again', async (t) => {
  const { routes, got } = services();
  const { connect, unfinished } = await deviceListener(t, {
    routes,
    unfinished: { sessionBytes: 300_000, ownerBytes: 400_000 },
  });
  const [first, second] = [await connect(), await connect()];
  const part = registerMessage(200_000).subarray(0, 60_000);
  for (const client of [first, second]) {
    open(client, 1);
    sendData(client, 1, registerMessage(10), true);
    await client.frame(of(frameType.headers, 1));
  }
  for (let stream = 3; stream <= 13; stream += 2) {
    open(first, stream);
    sendData(first, stream, part);
    await settled(first);
  }
  const over = await first.frame(({ type }) => type === frameType.reset);
  assert.equal(over.stream, 13);
  assert.equal(over.payload.readUInt32BE(0), NGHTTP2_NO_ERROR);
  assert.equal(unfinished.bytes, 300_000);
  for (let stream = 3; stream <= 7; stream += 2) {
    open(second, stream);
    sendData(second, stream, part);
    await settled(second);
  }
  const second7 = await second.frame(({ type }) => type === frameType.reset);
  assert.equal(second7.stream, 5);
  const refusal = second.frames.find(of(frameType.headers, 5));
  assert.match(String(refusal?.payload.length), /\d/);

  // A reset, a complete message, and the end of a connection.
  first.send(frameType.reset, { stream: 3, payload: uint32(8) });
  await settled(first);
  open(second, 9);
  sendData(second, 9, registerMessage(50_000), true);
  await second.frame(of(frameType.headers, 9));
  assert.deepEqual(got, [10, 10, 50_000]);
  first.socket.destroy();
  second.socket.destroy();
  await until('the end of what was kept', () => unfinished.bytes === 0);
});

test("headers of a device's waiting calls are bounded too", async (t) => {
  const { routes } = services();
  const { connect, unfinished } = await deviceListener(t, {
    routes,
    limits: { streamsPerSession: 1, waitingStreams: 400 },
    unfinished: { sessionBytes: 40_000, ownerBytes: 60_000 },
  });
  const [first, second] = [await connect(), await connect()];
  const large = [['x-large', 'x'.repeat(9_000)]] as [string, string][];
  const refused = (client: RawHttp2) =>
    client.frames.filter(({ type }) => type === frameType.reset).map(({ stream }) => stream);
  // A session has room for four, and a device for six.
  for (const [client, without] of [
    [first, [11, 13]],
    [second, [7, 9, 11, 13]],
  ] as const) {
    open(client, 1, events);
    await client.frame(of(frameType.headers, 1));
    for (let stream = 3; stream <= 13; stream += 2) open(client, stream, register, large);
    for (const stream of without) await client.frame(of(frameType.reset, stream));
    assert.deepEqual(refused(client), without);
  }

  // A call that is served or abandoned makes room again.
  first.send(frameType.reset, { stream: 3, payload: uint32(8) });
  await settled(first);
  open(first, 15, register, large);
  await settled(first);
  assert.deepEqual(refused(first), [11, 13]);
  for (const [client, left] of [
    [first, [5, 7, 9, 15]],
    [second, [3, 5]],
  ] as const) {
    for (const stream of left) sendData(client, stream, registerMessage(10), true);
    client.send(frameType.reset, { stream: 1, payload: uint32(8) });
    for (const stream of left) await client.frame(of(frameType.headers, stream));
  }
  await until('room', () => unfinished.bytes === 0);
});

test('thirty-two messages of a mebibyte at one time find room', async (t) => {
  const { routes, got } = services();
  const { address, tls } = await deviceListener(t, { routes });
  // The bytes that Node's own client may have in flight, MB.
  const session = http2.connect(`https://${address}`, { ...tls, maxSessionMemory: 100 });
  t.after(() => session.destroy());
  const message = registerMessage(mib - 16);
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      const call = session.request({
        ':method': 'POST',
        ':path': register,
        'content-type': 'application/grpc+proto',
        te: 'trailers',
      });
      call.resume().end(message);
      const [trailers] = await once(call, 'trailers');
      assert.equal(trailers['grpc-status'], '0');
    }),
  );
  assert.equal(got.length, 32);
});

/** The bytes of buffers that are still referenced. */
function keptBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

test('small chunks from large records hold no more memory than their own bytes', async (t) => {
  const { routes } = services();
  const { connect, unfinished } = await deviceListener(t, { routes });
  const client = await connect();
  const message = registerMessage(1_000_000);
  const filling = rawFrame(0xfa, { payload: Buffer.alloc(15_000) });
  for (let stream = 1; stream < 32; stream += 2) open(client, stream);
  await settled(client);
  const before = keptBytes();
  for (let round = 0; round < 100; round += 1) {
    for (let stream = 1; stream < 32; stream += 2) {
      const payload = message.subarray(round * 600, round * 600 + 600);
      assert.ok(await client.pour(Buffer.concat([rawFrame(frameType.data, { stream, payload }), filling])));
    }
    await settled(client);
  }
  assert.equal(unfinished.bytes, 16 * 100 * 600);
  const kept = keptBytes() - before;
  const records = 16 * 100 * 15_600;
  assert.ok(kept < records / 2, `${kept} bytes for ${unfinished.bytes}`);
});

test('a refused device does not get rid of its bodies', async (t) => {
  const { routes } = services();
  const refused = new IdentityError('DEVICE_REVOKED', 'The operator has revoked this device.');
  const { address, tls, unfinished } = await deviceListener(t, {
    routes,
    authenticator: { admit: () => Promise.reject(refused) },
  });
  const session = http2.connect(`https://${address}`, { ...tls, maxSessionMemory: 100 });
  session.on('error', () => {});
  t.after(() => session.destroy());
  let sent = 0;
  session.on('connect', (_session, socket) => {
    socket.once('close', () => {
      sent = socket.bytesWritten;
    });
  });
  const message = registerMessage(mib - 16);
  for (let n = 0; n < 30; n += 1) {
    const call = session.request({
      ':method': 'POST',
      ':path': register,
      'content-type': 'application/grpc+proto',
    });
    call.on('error', () => {});
    call.resume().write(message.subarray(0, -1));
  }
  await once(session, 'close');
  assert.ok(sent < 30 * (firstWindow + 16_384), `${sent} bytes were taken`);
  assert.equal(unfinished.bytes, 0);
});
