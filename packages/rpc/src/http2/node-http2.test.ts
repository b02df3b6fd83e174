// How Node behaves on a bare server, and how our workarounds change that.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import { flag, frameType, postHeaders, RawHttp2, uint32 } from '../testing/raw-http2.ts';
import { closeAfterAnswer } from './node-http2.ts';

async function serve(t: TestContext, onStream: (stream: http2.ServerHttp2Stream, path: string) => void) {
  const server = http2.createServer();
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on('error', () => {});
    onStream(stream, headers[':path']!);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Takes 1 GiB without being asked again. */
const endlessWindow = Buffer.concat([Buffer.from([0, 4]), uint32(2 ** 30)]);

async function connect(t: TestContext, port: number, settings?: Buffer): Promise<RawHttp2> {
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return new RawHttp2(socket, settings);
}

const ask = (client: RawHttp2, stream: number, path: string) => {
  client.send(frameType.headers, { stream, flags: flag.endHeaders, payload: postHeaders(path) });
  client.send(frameType.data, { stream, payload: Buffer.alloc(5) });
};

const answer = (stream: http2.ServerHttp2Stream) => stream.respond({ ':status': 200 }, { endStream: true });

test('Node loses an answer when a reset follows in the same turn, but not when it follows in the next turn', async (t) => {
  const port = await serve(t, (stream, path) => {
    stream.once('data', () => {
      answer(stream);
      const reset = () => stream.close(http2.constants.NGHTTP2_NO_ERROR);
      if (path === '/at-once') reset();
      else setImmediate(reset);
    });
  });
  const client = await connect(t, port);
  ask(client, 1, '/at-once');
  await client.frame(({ type, stream }) => type === frameType.reset && stream === 1);
  ask(client, 3, '/next');
  await client.frame(({ type, stream }) => type === frameType.reset && stream === 3);
  const answered = client.frames.filter(({ type }) => type === frameType.headers).map(({ stream }) => stream);
  assert.deepEqual(answered, [3]);
});

test('Node emits neither drain nor error when a stream ends while a write waits', async (t) => {
  const told: string[] = [];
  const closed = Promise.withResolvers<void>();
  const port = await serve(t, (stream) => {
    stream.respond({ ':status': 200 });
    // More than the peer's window.
    stream.write(Buffer.alloc(200_000));
    for (const event of ['drain', 'error']) stream.on(event, () => told.push(event));
    stream.once('close', () => setImmediate(closed.resolve));
  });
  const client = await connect(t, port);
  ask(client, 1, '/');
  await client.frame(({ type }) => type === frameType.data);
  client.send(frameType.reset, { stream: 1, payload: uint32(http2.constants.NGHTTP2_CANCEL) });
  await closed.promise;
  assert.deepEqual(told, []);
});

test('a reset does not overtake the answer before it, even if the peer does not read for a while', async (t) => {
  const reset = Promise.withResolvers<void>();
  const port = await serve(t, (stream, path) => {
    if (path === '/flood') {
      stream.respond({ ':status': 200 });
      const more = () => {
        if (!stream.destroyed) stream.write(Buffer.alloc(65_536), more);
      };
      more();
      return;
    }
    stream.once('data', () => {
      answer(stream);
      closeAfterAnswer(stream);
      reset.resolve();
    });
  });
  const client = await connect(t, port, endlessWindow);
  client.send(frameType.windowUpdate, { payload: uint32(2 ** 30) });
  ask(client, 1, '/flood');
  await client.frame(({ type }) => type === frameType.data);
  client.socket.pause();
  // Until the server can write no more.
  for (let before = -1; before !== client.socket.bytesRead; ) {
    before = client.socket.bytesRead;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  ask(client, 3, '/refused');
  await reset.promise;
  await new Promise((resolve) => setTimeout(resolve, 50));
  client.send(frameType.reset, { stream: 1, payload: uint32(http2.constants.NGHTTP2_CANCEL) });
  client.socket.resume();
  await client.frame(({ type, stream }) => type === frameType.reset && stream === 3);
  assert.ok(client.frames.some(({ type, stream }) => type === frameType.headers && stream === 3));
});
