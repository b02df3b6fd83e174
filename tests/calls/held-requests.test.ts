// The request of a stream stays in memory as long as the stream lasts, and counts that long, over both transports.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import { createClient, createContextValues, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { createCallTransport, UnfinishedBytes } from '@palyra/rpc/portable';
import { healthRoutes, serveCalls } from '@palyra/rpc/transport';
import { createQuic } from '@palyra/transport-quic';
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from '../../packages/rpc/src/gen/grpc/health/v1/health_pb.js';
import { serveHttp2 } from '../../packages/rpc/src/http2/serve.ts';
import { createPki } from '../../packages/rpc/src/testing/pki.ts';
import { expectCode } from '../testing/expect-code.ts';
import { until } from '../testing/until.ts';

const { SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;
const limits = { unknownBytes: 100_000 };
const routes = healthRoutes(new AbortController().signal);
const readMaxBytes = 1_000_000;

type Serve = (t: TestContext, unfinished: UnfinishedBytes) => Promise<Transport>;

const overHttp2: Serve = async (t, unfinished) => {
  const server = http2.createServer();
  serveHttp2(server, {
    routes,
    unfinished,
    readMaxBytes,
    contextValues: () => createContextValues(),
    onError: (error) => assert.fail(error as Error),
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.on('session', (session) => t.after(() => session.destroy()));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` });
};

const overQuic: Serve = async (t, unfinished) => {
  const pki = await createPki();
  const quic = createQuic();
  const listener = await quic.listen({
    host: '127.0.0.1',
    port: 0,
    tls: pki.serverTls,
    unfinished,
    admit: async () => {},
    serve: serveCalls({ routes, readMaxBytes }),
  });
  t.after(() => listener.close());
  const connection = await quic.dial({ host: '127.0.0.1', port: listener.port, tls: pki.clientTls });
  t.after(() => connection.close());
  return createCallTransport({ connect: async () => connection });
};

for (const [transport, serve] of Object.entries({ overHttp2, overQuic }))
  test(`${transport}, streams with kept requests are refused above a limit, and accepted again when others have ended`, async (t) => {
    const unfinished = new UnfinishedBytes(limits);
    const health = createClient(Health, await serve(t, unfinished));
    const watch = async () => {
      const leave = new AbortController();
      t.after(() => leave.abort());
      const answers = health.watch({ service: 'x'.repeat(30_000) }, { signal: leave.signal });
      const answer = await answers[Symbol.asyncIterator]().next();
      assert.equal(answer.value?.status, SERVICE_UNKNOWN);
      return leave;
    };
    const [first] = [await watch(), await watch(), await watch()];
    assert.ok(unfinished.bytes > 90_000 && unfinished.bytes < 100_000, `${unfinished.bytes} bytes`);
    await expectCode(watch(), 'TOO_MANY_REQUESTS');
    first.abort();
    await until('the end of the first', () => unfinished.bytes < 65_000);
    await watch();
  });
