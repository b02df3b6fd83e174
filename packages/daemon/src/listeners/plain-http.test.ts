import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import test, { type TestContext } from 'node:test';
import { longestWaitMs } from '../../../../tests/testing/until.ts';
import { listenPlainHttp } from './plain-http.ts';

async function listen(t: TestContext, serve: http.RequestListener) {
  const listener = await listenPlainHttp(
    { host: '127.0.0.1', port: 0 },
    { connections: 10, strangersPerSource: 10 },
    serve,
  );
  t.after(() => listener.close());
  return listener;
}

test('a stranger that sends requests without reading answers is disconnected, and at most two of its requests are served', async (t) => {
  let served = 0;
  // Slow answers, like those that wait for a list.
  const { port } = await listen(t, () => {
    served += 1;
  });
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  socket.resume();
  const closed = once(socket, 'close', { signal: AbortSignal.timeout(longestWaitMs) });
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2_000));
  await closed;
  assert.equal(served, 2);
});

test('a client that asks again as soon as it has read its answer keeps its connection', async (t) => {
  const body = 'an answer';
  const { port } = await listen(t, (_request, response) => {
    response.writeHead(200, { 'content-length': body.length });
    response.write(body);
    // The client has the whole answer by now, and sends its next request.
    setImmediate(() => response.end());
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const sockets = new Set<unknown>();
  for (let round = 0; round < 200; round += 1) {
    const request = http.get({ port, host: '127.0.0.1', agent });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    sockets.add(response.socket);
    response.resume();
    await once(response, 'end');
  }
  assert.equal(sockets.size, 1);
});
