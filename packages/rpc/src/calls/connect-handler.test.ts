// Connect's handlers behind both kinds of Node servers, called in ways that no client library uses.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import test, { type TestContext } from 'node:test';
import { createContextValues } from '@connectrpc/connect';
import { NodeService } from '../gen/palyra/node/v1/node_pb.js';
import { connectHandler } from './connect-handler.ts';

const path = `/${NodeService.typeName}/`;

async function serve(t: TestContext, server: http.Server | http2.Http2Server) {
  const errors: string[] = [];
  const started = Promise.withResolvers<AbortSignal>();
  const handle = connectHandler({
    readMaxBytes: 1_048_576,
    routes: (router) =>
      router.service(NodeService, {
        status: () => ({ daemonId: 'here' }),
        async *events(_, context) {
          yield {};
          started.resolve(context.signal);
          await once(context.signal, 'abort');
          yield {};
        },
      }),
    contextValues: () => createContextValues(),
    onError: (error, where) => errors.push(`${where}: ${(error as Error).message}`),
  });
  server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
    // Connect's answer comes second, and cannot be sent.
    if (request.headers['x-answered']) response.writeHead(200).flushHeaders();
    handle(request, response);
  });
  const uncaught = t.mock.fn();
  process.on('uncaughtException', uncaught);
  const said = t.mock.method(console, 'error', () => {});
  t.after(() => {
    process.off('uncaughtException', uncaught);
    server.close();
    assert.equal(uncaught.mock.callCount(), 0);
    assert.equal(said.mock.callCount(), 0);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { errors, started: started.promise, port: (server.address() as AddressInfo).port };
}

async function overHttp2(t: TestContext) {
  const served = await serve(t, http2.createServer());
  const session = http2.connect(`http://127.0.0.1:${served.port}`);
  t.after(() => session.destroy());
  const ask = (method: string, headers: http2.OutgoingHttpHeaders = {}) =>
    session.request(
      { ':method': 'POST', ':path': path + method, 'content-type': 'application/grpc+proto', ...headers },
      { endStream: false },
    );
  return { ...served, ask };
}

async function statusOf(call: http2.ClientHttp2Stream): Promise<number> {
  call.resume().end(Buffer.alloc(5));
  const [headers] = await once(call, 'response');
  await once(call, 'close');
  return headers[':status'];
}

test('an invalid authority is a bad request, and does not end the connection', async (t) => {
  const { ask, errors } = await overHttp2(t);
  for (const authority of ['[', 'x:99999999', '%'])
    assert.equal(await statusOf(ask('Status', { ':authority': authority })), 400);
  assert.equal(await statusOf(ask('Status')), 200);
  assert.deepEqual(errors, []);
});

test('an IPv6 address is accepted in the form that Node writes', async (t) => {
  const { ask } = await overHttp2(t);
  for (const authority of ['::1:7444', '2001:db8::7:7444', '::ffff:10.0.0.1:1', '[::1]:7444'])
    assert.equal(await statusOf(ask('Status', { ':authority': authority })), 200, authority);
  assert.equal(await statusOf(ask('Status', { ':authority': '::g:7444' })), 400);
});

test('an invalid Host is a bad request over HTTP/1.1', async (t) => {
  const { port } = await serve(t, http.createServer());
  for (const [host, status] of [
    ['[', 400],
    ['', 400],
    ['here', 200],
  ] as const) {
    const socket = net.connect(port, '127.0.0.1');
    socket.end(
      `POST ${path}Status HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
    );
    const answer = (await socket.setEncoding('utf8').toArray()).join('');
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
  }
});

test('an unknown path is not found', async (t) => {
  const { ask } = await overHttp2(t);
  for (const method of ['Nothing', 'Status/', 'Status?x=y']) assert.equal(await statusOf(ask(method)), 404);
});

test('a caller that leaves in the middle of a stream causes no error', async (t) => {
  const { ask, errors, started } = await overHttp2(t);
  const call = ask('Events');
  call.on('error', () => {}).resume();
  call.write(Buffer.alloc(5));
  const signal = await started;
  call.close(http2.constants.NGHTTP2_CANCEL);
  await once(signal, 'abort');
  // The next call on the same connection is answered.
  assert.equal(await statusOf(ask('Nothing')), 404);
  assert.deepEqual(errors, []);
});

test('an answer that cannot be sent resets its call, and is reported', async (t) => {
  const { ask, errors } = await overHttp2(t);
  const call = ask('Events', { 'x-answered': 'yes' });
  call.resume().end(Buffer.alloc(5));
  const [error] = await once(call, 'error');
  assert.match(error.message, /NGHTTP2_INTERNAL_ERROR/);
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /^\/palyra\.node\.v1\.NodeService\/Events: .*already/);
});
