// The bytes that a peer may leave unread over QUIC, before and after the registry has decided.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import { IdentityError } from '@palyra/identity';
import { NodeService } from '@palyra/rpc';
import { type ByteStream, StreamReset, UnfinishedBytes } from '@palyra/rpc/portable';
import { accessCheck, contextOf, type Peer, serveCalls, type UnfinishedLimits } from '@palyra/rpc/transport';
import { createQuic } from '@palyra/transport-quic';
import { encodeFrame, type Frame, FrameParser } from '../../packages/rpc/src/calls/frame.ts';
import { createPki } from '../../packages/rpc/src/testing/pki.ts';
import { frame } from '../testing/raw-call.ts';
import { until } from '../testing/until.ts';

const register = `/${NodeService.typeName}/Register`;
const grpc = new Headers({ 'content-type': 'application/grpc+proto', te: 'trailers' });

const message = (size: number) =>
  frame(
    toBinary(NodeService.method.register.input, {
      $typeName: NodeService.method.register.input.typeName,
      platform: 'x'.repeat(size),
      capabilities: [],
    } as never),
  );

interface Options {
  readonly admit?: () => Promise<void>;
  readonly peer?: Peer;
  readonly limits: Partial<UnfinishedLimits>;
}

async function serve(
  t: TestContext,
  { admit = async () => {}, peer = { caller: 'operator', at: 'console' }, limits }: Options,
) {
  const pki = await createPki();
  const quic = createQuic();
  const unfinished = new UnfinishedBytes(limits);
  const got: number[] = [];
  const listener = await quic.listen({
    host: '127.0.0.1',
    port: 0,
    tls: pki.serverTls,
    unfinished,
    admit: async (connection) => {
      await admit();
      connection.unfinished.belongsTo('the device');
    },
    serve: serveCalls({
      routes: (router) =>
        router.service(NodeService, {
          register: ({ platform }) => {
            got.push(platform.length);
            return {};
          },
        }),
      check: {
        ...accessCheck((error) => assert.fail(error as Error)),
        ...(peer.caller === 'operator' && open),
      },
      contextValues: () => contextOf(peer),
    }),
  });
  t.after(() => listener.close());
  const connection = await quic.dial({ host: '127.0.0.1', port: listener.port, tls: pki.clientTls });
  t.after(() => connection.close());
  const begin = async (bytes: Uint8Array, more: readonly Frame[] = []) => {
    const stream = await connection.openStream();
    const frames = [{ type: 'request', path: register, headers: grpc } as const, ...more];
    await stream.write(Buffer.concat([...frames.map((each) => encodeFrame(each)), ...data(bytes)]));
    return stream;
  };
  return { begin, connection, got, unfinished };
}

/** Any device may call. */
const open = {
  begin: () => undefined,
  unary: async <T>(_method: string, _values: unknown, run: () => Promise<T> | T) => run(),
};

function data(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += 65_536)
    frames.push(encodeFrame({ type: 'data', bytes: bytes.subarray(at, at + 65_536) }));
  return frames;
}

/** The server's answer, up to its last frame. @throws the error that breaks the stream. */
async function answerOf(stream: ByteStream): Promise<Frame[]> {
  const parser = new FrameParser();
  const frames: Frame[] = [];
  for (let bytes = await stream.read(); bytes; bytes = await stream.read()) {
    frames.push(...parser.push(bytes));
    if (frames.at(-1)?.type === 'trailers') break;
  }
  return frames;
}

const statusOf = (frames: readonly Frame[]) => {
  const last = frames.at(-1);
  return last?.type === 'trailers' ? new Headers([...last.headers]).get('grpc-status') : undefined;
};

test('a connection that is not admitted yet holds no more than its share, and a refusal frees the share', async (t) => {
  const decided = Promise.withResolvers<never>();
  decided.promise.catch(() => {});
  const { begin, connection, unfinished } = await serve(t, {
    admit: () => decided.promise,
    limits: { unknownBytes: 300_000 },
  });
  const streams: ByteStream[] = [];
  for (let n = 0; n < 5; n += 1) {
    streams.push(await begin(message(400_000).subarray(0, 100_000)));
    if (n === 0) await until('so many bytes lie here', () => unfinished.bytes >= 100_000);
  }
  const ends = streams.map((stream) => stream.read().catch((error: unknown) => error));
  const first = (await Promise.race(ends)) as StreamReset;
  assert.ok(first instanceof StreamReset);
  assert.equal(first.reason, 'TOO_MANY_REQUESTS');
  assert.ok(unfinished.bytes <= 300_000, `${unfinished.bytes}`);
  decided.reject(new IdentityError('DEVICE_REVOKED', 'gone'));
  assert.equal((await connection.closed)?.code, 'DEVICE_REVOKED');
  await until('so many bytes lie here', () => unfinished.bytes === 0);
});

test('incomplete messages are bounded, fail with a code, and make room when their calls end', async (t) => {
  const { begin, got, unfinished } = await serve(t, { limits: { sessionBytes: 500_000 } });
  const part = message(400_000).subarray(0, 150_000);
  const streams = [await begin(part), await begin(part), await begin(part)];
  await until('so many bytes lie here', () => unfinished.bytes >= 450_000);
  const over = await begin(message(200_000).subarray(0, 100_000));
  const end = await answerOf(over).then(statusOf, (error: StreamReset) => error.reason);
  assert.ok(end === '8' || end === 'TOO_MANY_REQUESTS', String(end));
  for (const stream of streams) stream.reset('CANCELLED');
  await until('so many bytes lie here', () => unfinished.bytes === 0);

  const whole = await begin(message(150_000));
  await whole.write(encodeFrame({ type: 'end' }));
  assert.equal(statusOf(await answerOf(whole)), '0');
  assert.deepEqual(got, [150_000]);
  assert.equal(unfinished.bytes, 0);
});

test('a forbidden call is refused even if its body never arrives', async (t) => {
  const { begin, got } = await serve(t, { peer: { caller: 'anyone', channel: {} as never }, limits: {} });
  const stream = await begin(message(400_000).subarray(0, 1_000));
  assert.equal(statusOf(await answerOf(stream)), '7');
  assert.deepEqual(got, []);
});

test('a caller that compresses is told which encodings are accepted', async (t) => {
  const { connection, got } = await serve(t, { limits: {} });
  const stream = await connection.openStream();
  const headers = new Headers([...grpc, ['grpc-encoding', 'gzip']]);
  await stream.write(
    Buffer.concat([encodeFrame({ type: 'request', path: register, headers }), ...data(message(1))]),
  );
  const frames = await answerOf(stream);
  assert.equal(statusOf(frames), '12');
  const [head] = frames;
  assert.ok(head?.type === 'response');
  assert.equal(new Headers([...head.headers]).get('grpc-accept-encoding'), 'identity');
  assert.deepEqual(got, []);
});
