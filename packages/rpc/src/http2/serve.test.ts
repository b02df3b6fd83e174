import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import { serveRequests } from './serve.ts';

async function serve(t: TestContext, onStream?: (stream: http2.ServerHttp2Stream) => void) {
  const server = http2.createServer();
  serveRequests(server, (request, response) => {
    request.resume().once('end', () => response.end('served'));
  });
  if (onStream) server.on('session', (session) => session.prependListener('stream', onStream));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client.on('error', () => {});
  t.after(() => {
    client.destroy();
    server.close();
  });
  return client;
}

const hopeful: readonly http2.OutgoingHttpHeaders[] = [
  { ':method': 'POST', ':path': '/', expect: '100-continue' },
  { ':method': 'POST', ':path': '/', expect: 'something else' },
  { ':method': 'CONNECT', ':authority': 'example.com:443' },
];

test('a request that the peer resets before the server sees it affects nothing else', async (t) => {
  const uncaught = t.mock.fn();
  process.on('uncaughtException', uncaught);
  t.after(() => process.off('uncaughtException', uncaught));
  const client = await serve(t, (stream) => stream.destroy());
  for (const headers of hopeful) {
    const request = client.request(headers);
    request.on('error', () => {});
    request.resume().end();
    await once(request, 'close');
  }
  assert.equal(uncaught.mock.callCount(), 0);
});

test('a request that expects 100-continue is served without a 100', async (t) => {
  const client = await serve(t);
  const request = client.request(hopeful[0]);
  const told = t.mock.fn();
  request.on('continue', told).end('a message');
  assert.deepEqual(await request.setEncoding('utf8').toArray(), ['served']);
  assert.equal(told.mock.callCount(), 0);
});

for (const headers of hopeful.slice(1)) {
  test(`an unsupported request is refused: ${Object.values(headers).join(' ')}`, async (t) => {
    const client = await serve(t);
    const request = client.request(headers);
    const answered = t.mock.fn();
    request.on('response', answered).on('error', () => {});
    request.resume().end();
    await once(request, 'close');
    assert.equal(answered.mock.callCount(), 0);
  });
}
