// Concurrent calls on a session (RFC 9113 5.1.2, 6.5.2): how many a client may begin before it has our SETTINGS, their order,
// and the answer to a client over the limit.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { type TestContext, test } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import { NodeService } from '@palyra/rpc';
import { defaultHttp2Limits } from '@palyra/rpc/transport';
import {
  flag,
  frameType,
  postHeaders,
  type RawHttp2,
  rawFrame,
  uint32,
} from '../../packages/rpc/src/testing/raw-http2.ts';
import { deviceListener } from '../testing/device-listener.ts';
import { frame } from '../testing/raw-call.ts';

const register = `/${NodeService.typeName}/Register`;
const events = `/${NodeService.typeName}/Events`;
const { NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = http2.constants;
const empty = frame(
  toBinary(NodeService.method.register.input, {
    $typeName: NodeService.method.register.input.typeName,
    platform: '',
    capabilities: [],
  } as never),
);

const headers = (stream: number, path: string) =>
  rawFrame(frameType.headers, { stream, flags: flag.endHeaders, payload: postHeaders(path) });
const call = (stream: number) =>
  Buffer.concat([
    headers(stream, register),
    rawFrame(frameType.data, { stream, flags: flag.endStream, payload: empty }),
  ]);
const reset = (stream: number, code: number) => rawFrame(frameType.reset, { stream, payload: uint32(code) });
/** The first `count` stream ids. */
const streams = (count: number) => Array.from({ length: count }, (_, n) => 2 * n + 1);

/** A listener whose service has one call that stays open and one that is answered at once. */
async function connectedTo(t: TestContext, streamsPerSession?: number, waitingStreams = 0) {
  const { connect, told } = await deviceListener(t, {
    routes: (router) =>
      router.service(NodeService, {
        register: () => ({}),
        async *events(messages) {
          yield {};
          for await (const _ of messages);
        },
      }),
    ...(streamsPerSession && { limits: { streamsPerSession, waitingStreams } }),
  });
  const client = await connect();
  client.socket.setNoDelay();
  return { client, told };
}

const connected = async (...limits: Parameters<typeof connectedTo>) => (await connectedTo(...limits)).client;

/** Resolves when each of these calls is answered. @throws when one is reset. */
async function answered(client: RawHttp2, all: readonly number[]): Promise<void> {
  for (const stream of all) {
    const { type, payload } = await client.frame(
      (each) => each.stream === stream && [frameType.headers, frameType.reset].includes(each.type as never),
    );
    assert.equal(type, frameType.headers, `stream ${stream} was reset: ${payload.toString('hex')}`);
  }
}

const resetCode = async (client: RawHttp2, stream: number) =>
  (
    await client.frame((each) => each.stream === stream && each.type === frameType.reset)
  ).payload.readUInt32BE(0);

test('a client that has not received our SETTINGS can begin a hundred calls at once', async (t) => {
  const client = await connected(t);
  const { streamsPerSession, waitingStreams } = defaultHttp2Limits;
  assert.ok(streamsPerSession >= 100);
  client.socket.write(Buffer.concat(streams(streamsPerSession).map((stream) => headers(stream, events))));
  await answered(client, streams(streamsPerSession));
  // The other calls wait for their turn.
  const waiting = streams(streamsPerSession + waitingStreams).slice(streamsPerSession);
  client.socket.write(Buffer.concat(waiting.map(call)));
  const over = 2 * (streamsPerSession + waitingStreams) + 1;
  client.socket.write(call(over));
  assert.equal(await resetCode(client, over), NGHTTP2_REFUSED_STREAM);
  assert.ok(
    !client.frames.some(({ stream, type }) => type === frameType.headers && waiting.includes(stream)),
  );
  client.socket.write(reset(1, NGHTTP2_CANCEL));
  await answered(client, waiting);
});

test('waiting calls are served in order, except cancelled ones', async (t) => {
  const client = await connected(t, 1, 10);
  client.socket.write(headers(1, events));
  await answered(client, [1]);
  client.socket.write(Buffer.concat([3, 5, 7, 9].map(call)));
  client.socket.write(Buffer.concat([reset(5, NGHTTP2_CANCEL), reset(1, NGHTTP2_CANCEL)]));
  await answered(client, [3, 7, 9]);
  const began = client.frames.filter(
    ({ type, flags }) => type === frameType.headers && !(flags & flag.endStream),
  );
  assert.deepEqual(
    began.map(({ stream }) => stream),
    [1, 3, 7, 9],
  );
});

test('a call over the limit is refused as retryable, until another call ends', async (t) => {
  const client = await connected(t, 10);
  client.socket.write(Buffer.concat(streams(12).map((stream) => headers(stream, events))));
  await answered(client, streams(10));
  for (const stream of [21, 23]) assert.equal(await resetCode(client, stream), NGHTTP2_REFUSED_STREAM);
  client.socket.write(reset(1, NGHTTP2_CANCEL));
  client.socket.write(call(25));
  await answered(client, [25]);
});

test('a session that keeps beginning calls over the limit is closed', async (t) => {
  const { client, told } = await connectedTo(t, 10);
  client.socket.write(Buffer.concat(streams(10).map((stream) => headers(stream, events))));
  await answered(client, streams(10));
  for (let stream = 21; stream < 5_000; stream += 2) client.socket.write(headers(stream, events));
  await client.closed;
  assert.ok(told.includes('flood'));
});

for (const code of [NGHTTP2_CANCEL, NGHTTP2_NO_ERROR]) {
  for (const together of [true, false]) {
    test(`at the limit, a call right after one that was reset with ${code} is served, ${together ? 'in the same packet' : 'in the next'}`, async (t) => {
      const client = await connected(t, 10);
      client.send(frameType.settings, { flags: flag.ack });
      client.socket.write(Buffer.concat(streams(10).map((stream) => headers(stream, events))));
      await answered(client, streams(10));
      for (let round = 0; round < 50; round += 1) {
        const next = 21 + 2 * round;
        const old = round < 10 ? 2 * round + 1 : next - 20;
        const frames = [reset(old, code), headers(next, events)];
        if (together) client.socket.write(Buffer.concat(frames));
        else for (const each of frames) client.socket.write(each);
        await answered(client, [next]);
      }
    });
  }
}

test('at the limit, a call that follows an answered one is served', async (t) => {
  const client = await connected(t, 10);
  client.send(frameType.settings, { flags: flag.ack });
  client.socket.write(Buffer.concat(streams(9).map((stream) => headers(stream, events))));
  await answered(client, streams(9));
  for (let stream = 19; stream < 400; stream += 2) {
    client.socket.write(call(stream));
    await client.frame((each) => each.stream === stream && (each.flags & flag.endStream) > 0);
    await answered(client, [stream]);
  }
});
