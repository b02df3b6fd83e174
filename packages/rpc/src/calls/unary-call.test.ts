// Compares our answers to unary calls with Connect's own answers, over HTTP/2 without a client library.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createClient,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { NodeService } from '../gen/palyra/node/v1/node_pb.js';
import { dialAdmin } from '../http2/dial-admin.ts';
import { serveHttp2 } from '../http2/serve.ts';

const maxBytes = 1000;

class Handler {
  calls = 0;
  readonly started = Promise.withResolvers<void>();
  readonly aborted = Promise.withResolvers<unknown>();
  context: HandlerContext | undefined;
  timeLeftMs: number | undefined;

  readonly routes = (router: ConnectRouter): void => {
    router.service(NodeService, {
      register: async ({ platform }, context) => {
        this.calls += 1;
        this.context = context;
        this.timeLeftMs = context.timeoutMs();
        if (platform === 'bad header') context.responseHeader.set('connection', 'close');
        if (platform === 'bad trailer') context.responseTrailer.set('connection', 'close');
        if (platform === 'fail') throw new ConnectError('näh: 100 %', Code.NotFound, { 'x-why': 'because' });
        if (platform !== 'wait') return {};
        this.started.resolve();
        assert.equal(context.signal, context.signal);
        await once(context.signal, 'abort');
        this.aborted.resolve(context.signal.reason);
        return {};
      },
    });
  };
}

async function listen(t: TestContext, server: http2.Http2Server): Promise<http2.ClientHttp2Session> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => {
    session.destroy();
    server.close();
  });
  return session;
}

async function ours(t: TestContext, { handler = new Handler(), requestMs = 30_000 } = {}) {
  const errors: string[] = [];
  const server = http2.createServer();
  serveHttp2(server, {
    routes: handler.routes,
    readMaxBytes: maxBytes,
    writeMaxBytes: maxBytes,
    requestMs,
    contextValues: () => createContextValues(),
    onError: (error, path) => errors.push(`${path}: ${(error as Error).message}`),
  });
  return { handler, errors, server, session: await listen(t, server) };
}

async function connects(t: TestContext, handler = new Handler()) {
  const limits = { readMaxBytes: maxBytes, writeMaxBytes: maxBytes, acceptCompression: [] };
  const server = http2.createServer(connectNodeAdapter({ routes: handler.routes, ...limits }));
  return { handler, session: await listen(t, server) };
}

const register = '/palyra.node.v1.NodeService/Register';
const grpc = {
  ':method': 'POST',
  ':path': register,
  'content-type': 'application/grpc+proto',
  te: 'trailers',
};

/** A gRPC message. */
function envelope(bytes: Uint8Array, { flags = 0, length = bytes.length } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, bytes]);
}

const from = (platform: string): Uint8Array =>
  toBinary(NodeService.method.register.input, {
    $typeName: NodeService.method.register.input.typeName,
    platform,
    capabilities: [],
  } as never);

interface Answer {
  readonly status: unknown;
  readonly grpcStatus: unknown;
  readonly message: unknown;
  readonly why: unknown;
  readonly body: string;
}

/** @param parts of the body, each sent in its own frame. */
async function call(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  parts: readonly Uint8Array[],
): Promise<Answer> {
  const stream = session.request(headers);
  let head: http2.IncomingHttpHeaders = {};
  let tail: http2.IncomingHttpHeaders = {};
  const body: Buffer[] = [];
  stream.on('response', (got) => {
    head = got;
  });
  stream.on('trailers', (got) => {
    tail = got;
  });
  stream.on('data', (bytes: Buffer) => body.push(bytes));
  stream.on('error', () => {});
  for (const part of parts) {
    if (stream.writable) stream.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
  await once(stream, 'close');
  const said = { ...head, ...tail };
  return {
    status: head[':status'],
    grpcStatus: said['grpc-status'],
    message: said['grpc-message'],
    why: said['x-why'],
    body: Buffer.concat(body).toString('hex'),
  };
}

const good = envelope(from('linux'));
const bytewise = Array.from(good, (byte) => Uint8Array.of(byte));
const json = { ...grpc, 'content-type': 'application/grpc+json' };

const same: [
  name: string,
  headers: http2.OutgoingHttpHeaders,
  parts: Uint8Array[],
  code: Code | 0 | 'none',
][] = [
  ['a call', grpc, [good], 0],
  ['a content type without a subtype', { ...grpc, 'content-type': 'application/grpc' }, [good], 0],
  ['a message that arrives byte by byte', grpc, bytewise, 0],
  ['an empty message', grpc, [envelope(new Uint8Array())], 0],
  ['a timeout', { ...grpc, 'grpc-timeout': '10S' }, [good], 0],
  ['grpc-encoding: identity', { ...grpc, 'grpc-encoding': 'identity' }, [good], 0],
  ['JSON', json, [envelope(Buffer.from('{"platform":"linux"}'))], 0],
  ['a request that expects a 100', { ...grpc, expect: '100-continue' }, [good], 0],
  ['a message of the largest size', grpc, [envelope(from('x'.repeat(maxBytes - 3)))], 0],
  ['an error from the handler', grpc, [envelope(from('fail'))], Code.NotFound],
  ['nothing', grpc, [], Code.Unimplemented],
  ['a part of a prefix', grpc, [good.subarray(0, 3)], Code.InvalidArgument],
  ['a part of a message', grpc, [good.subarray(0, -1)], Code.InvalidArgument],
  ['two messages', grpc, [good, good], Code.Unimplemented],
  ['two messages in one frame', grpc, [Buffer.concat([good, good])], Code.Unimplemented],
  [
    'a message one byte over the limit',
    grpc,
    [envelope(from('x'.repeat(maxBytes - 2)))],
    Code.ResourceExhausted,
  ],
  ['a message of 4 GiB', grpc, [envelope(new Uint8Array(), { length: 0xffff_ffff })], Code.ResourceExhausted],
  ['an invalid message', grpc, [envelope(Buffer.from('ffffffff', 'hex'))], Code.Internal],
  ['a compressed message', grpc, [envelope(from('linux'), { flags: 1 })], Code.Internal],
  ['an invalid timeout', { ...grpc, 'grpc-timeout': 'soon' }, [good], Code.InvalidArgument],
  ['another content type', { ...grpc, 'content-type': 'text/plain' }, [good], 'none'],
  ['another method', { ...grpc, ':method': 'PUT' }, [good], 'none'],
  ['another path', { ...grpc, ':path': '/palyra.node.v1.NodeService/Nothing' }, [good], 'none'],
];

for (const [name, headers, parts, code] of same) {
  test(`gets the answer that Connect gives: ${name}`, async (t) => {
    const [own, expected] = [await ours(t), await connects(t)];
    const answer = await call(own.session, headers, parts);
    assert.equal(answer.grpcStatus, code === 'none' ? undefined : String(code));
    const { message, ...rest } = answer;
    const { message: connectsWords, ...connectsRest } = await call(expected.session, headers, parts);
    assert.deepEqual(rest, connectsRest);
    // Our error texts about invalid input may differ from Connect's. The handler's texts may not.
    if (code === Code.NotFound || code === 0) assert.equal(message, connectsWords);
    assert.equal(own.handler.calls, expected.handler.calls);
  });
}

for (const platform of ['bad header', 'bad trailer']) {
  test(`an answer that HTTP/2 cannot carry resets only its call: ${platform}`, async (t) => {
    const { session, errors } = await ours(t);
    const stream = session.request(grpc);
    stream.resume().end(envelope(from(platform)));
    await assert.rejects(once(stream, 'close'), /NGHTTP2_INTERNAL_ERROR/);
    assert.equal(errors.length, 1);
    assert.match(errors[0]!, /^\/palyra.node.v1.NodeService\/Register: .*connection/);
    assert.equal((await call(session, grpc, [good])).grpcStatus, '0');
  });
}

/** The answer to a call whose sending side stays open. The server releases the call. */
async function endOf(stream: http2.ClientHttp2Stream): Promise<http2.IncomingHttpHeaders> {
  let last: http2.IncomingHttpHeaders = {};
  for (const event of ['response', 'trailers']) stream.on(event, (headers) => (last = headers));
  stream.resume();
  await once(stream, 'close');
  return last;
}

for (const [what, contentType] of [
  ['directly', grpc['content-type']],
  ['by Connect', 'application/grpc+json'],
]) {
  test(`a call that is incomplete at its deadline ends at that moment, served ${what}`, async (t) => {
    const { session, handler } = await ours(t);
    const stream = session.request({ ...grpc, 'content-type': contentType, 'grpc-timeout': '20m' });
    stream.write(good.subarray(0, 7));
    // The rest never arrives.
    const end = await endOf(stream);
    assert.equal(end['grpc-status'], String(Code.DeadlineExceeded));
    assert.equal(handler.calls, 0);
  });

  test(`a request that does not arrive completely in time ends, served ${what}`, async (t) => {
    const { session, handler } = await ours(t, { requestMs: 50 });
    const stream = session.request({ ...grpc, 'content-type': contentType });
    stream.write(good.subarray(0, 3));
    const end = await endOf(stream);
    assert.equal(end['grpc-status'], String(Code.DeadlineExceeded));
    assert.match(String(end['grpc-message']), /did%20not%20arrive/);
    assert.equal(handler.calls, 0);
  });
}

for (const contentType of [grpc['content-type'], 'application/grpc+json', 'application/grpc-web+proto']) {
  test(`a caller that compresses learns which encoding is accepted: ${contentType}`, async (t) => {
    const { session, handler } = await ours(t);
    const stream = session.request({ ...grpc, 'content-type': contentType, 'grpc-encoding': 'gzip' });
    stream.end(good);
    const [headers] = await once(stream, 'response');
    stream.resume();
    assert.equal(headers['grpc-status'], String(Code.Unimplemented));
    assert.equal(headers['grpc-accept-encoding'], 'identity');
    assert.equal(handler.calls, 0);
  });
}

test('flags that gRPC does not define are refused', async (t) => {
  const { session, handler } = await ours(t);
  const { grpcStatus } = await call(session, grpc, [envelope(from('linux'), { flags: 2 })]);
  assert.equal(grpcStatus, String(Code.InvalidArgument));
  assert.equal(handler.calls, 0);
});

test('a caller that announces too large a message gets its answer at once, sends no more, and can call again', async (t) => {
  const { session } = await ours(t);
  const stream = session.request(grpc);
  const [head] = (await Promise.all([
    once(stream, 'response'),
    stream.write(envelope(new Uint8Array(), { length: maxBytes + 1 })),
  ])) as [[http2.IncomingHttpHeaders], boolean];
  assert.equal(head[0]['grpc-status'], String(Code.ResourceExhausted));
  stream.resume();
  await once(stream, 'close');
  assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
  assert.equal((await call(session, grpc, [good])).grpcStatus, '0');
});

test('a timeout of thousands of years never expires', async (t) => {
  const { session, handler } = await ours(t);
  assert.equal((await call(session, { ...grpc, 'grpc-timeout': '99999999H' }, [good])).grpcStatus, '0');
  assert.ok(handler.timeLeftMs! > 1e14, `${handler.timeLeftMs}`);
});

test("a call's deadline does not follow the time of day", async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const { session, handler } = await ours(t);
  const answer = call(session, { ...grpc, 'grpc-timeout': '200m' }, [envelope(from('wait'))]);
  await handler.started.promise;
  t.mock.timers.setTime(Date.now() + 86_400_000);
  const leftMs = handler.context!.timeoutMs()!;
  assert.ok(leftMs <= 200 && leftMs > -86_400_000, `${leftMs}`);
  t.mock.timers.setTime(Date.now() - 2 * 86_400_000);
  assert.ok(handler.context!.timeoutMs()! <= 200);
  assert.equal(ConnectError.from(await handler.aborted.promise).code, Code.DeadlineExceeded);
  await answer;
});

test("a caller's deadline does not follow the time of day", async (t) => {
  const handler = new Handler();
  const server = http2.createServer();
  serveHttp2(server, {
    routes: handler.routes,
    readMaxBytes: maxBytes,
    contextValues: () => createContextValues(),
    onError: () => {},
  });
  const path = join(temporaryFolder(), 'socket');
  server.listen(path);
  await once(server, 'listening');
  const connection = await dialAdmin(path);
  t.after(() => {
    connection.destroy();
    server.close();
  });
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const client = createClient(NodeService, connection.transport);
  const answer = client.register({ platform: 'wait' }, { timeoutMs: 200 });
  await Promise.all([
    assert.rejects(answer, { code: Code.DeadlineExceeded }),
    handler.started.promise.then(() => t.mock.timers.setTime(Date.now() - 86_400_000)),
  ]);
  t.mock.timers.setTime(Date.now() + 5 * 86_400_000);
  await client.register({ platform: 'linux' }, { timeoutMs: 10_000 });
});

test('a handler learns that the deadline has passed or the caller has left', async (t) => {
  const late = await ours(t);
  const answer = call(late.session, { ...grpc, 'grpc-timeout': '50m' }, [envelope(from('wait'))]);
  assert.equal(ConnectError.from(await late.handler.aborted.promise).code, Code.DeadlineExceeded);
  await answer;

  const gone = await ours(t);
  const stream = gone.session.request(grpc);
  stream.on('error', () => {});
  stream.end(envelope(from('wait')));
  await gone.handler.started.promise;
  stream.close(http2.constants.NGHTTP2_CANCEL);
  assert.equal(ConnectError.from(await gone.handler.aborted.promise).code, Code.Canceled);
  assert.equal((await call(gone.session, grpc, [good])).grpcStatus, '0');
});

test('the signal from the access check aborts the handler', async (t) => {
  const end = new AbortController();
  const handler = new Handler();
  const server = http2.createServer();
  serveHttp2(server, {
    routes: handler.routes,
    readMaxBytes: maxBytes,
    contextValues: () => createContextValues(),
    onError: (error) => assert.fail(error as Error),
    check: {
      begin: () => undefined,
      unary: async (_method, _values, run) => run(end.signal),
      interceptor: (next) => next,
    },
  });
  const session = await listen(t, server);
  const answer = call(session, grpc, [envelope(from('wait'))]);
  await handler.started.promise;
  end.abort(new Error('the role is gone'));
  assert.equal(((await handler.aborted.promise) as Error).message, 'the role is gone');
  assert.equal((await answer).grpcStatus, '0');
});

test('an aborted incomplete call reaches no handler', async (t) => {
  const { session, handler } = await ours(t);
  const stream = session.request(grpc);
  stream.on('error', () => {});
  stream.write(good.subarray(0, 7));
  await new Promise((resolve) => setImmediate(resolve));
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await once(stream, 'close');
  assert.equal((await call(session, grpc, [good])).grpcStatus, '0');
  assert.equal(handler.calls, 1);
});

test('a stream that has ended refers to nothing of its call', async (t) => {
  const { server, session } = await ours(t);
  for (const type of ['application/grpc+proto', 'application/json']) {
    const begun = once(server, 'stream');
    const request = session.request({ ...grpc, 'content-type': type });
    request.on('response', () => {});
    request.resume().end(type.endsWith('json') ? '{}' : envelope(new Uint8Array()));
    const [stream] = (await begun) as [http2.ServerHttp2Stream];
    await once(stream, 'close');
    assert.deepEqual(stream.eventNames(), ['error'], type);
    // Node may still report an error.
    stream.emit('error', new Error('late'));
    assert.equal(stream.push(Buffer.alloc(1)), false);
  }
});
