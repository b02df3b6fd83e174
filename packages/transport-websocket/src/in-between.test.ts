// Known problems between the ends of a WebSocket: proxies that require CONNECT, paths that silently go dead, and requests with
// more headers than Node passes on.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { within } from '../../../tests/testing/until.ts';
import { ask, echo, rejectsWith } from '../../rpc/src/testing/contract-suite.ts';
import { createPki } from '../../rpc/src/testing/pki.ts';
import { derOf, judgeDaemon, ownProof } from './certificates.ts';
import { dialChannel } from './dial.ts';
import { listen } from './listen.ts';
import { meddlingProxy } from './testing/meddling-proxy.ts';
import { deviceOrigin } from './upgrade.ts';

const pki = await createPki();
const listener = await listen({
  host: '127.0.0.1',
  port: 0,
  tls: pki.serverTls,
  admit: async () => {},
  serve: echo,
});
test.after(() => listener.close());

const side = {
  purpose: 'node',
  proof: ownProof(pki.clientTls),
  judge: judgeDaemon({ roots: derOf(pki.rootPem), trustDomain: pki.trustDomain }),
} as const;

test('a channel opens over TLS through the tunnel of an HTTP proxy', async (t) => {
  const tunnelled: string[] = [];
  // The TLS server may have any certificate.
  const ended = tls.createServer(
    { cert: pki.daemon.certificateChain, key: pki.daemon.privateKey },
    (socket) => {
      const upstream = net.connect(listener.port, '127.0.0.1');
      socket.once('data', (bytes) => tunnelled.push(String(bytes)));
      socket.on('error', () => upstream.destroy()).pipe(upstream);
      upstream.on('error', () => socket.destroy()).pipe(socket);
    },
  );
  ended.listen(0, '127.0.0.1');
  await once(ended, 'listening');
  t.after(() => ended.close());
  const asked: string[] = [];
  const credentials: (string | undefined)[] = [];
  const proxy = http.createServer().on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    credentials.push(request.headers['proxy-authorization']);
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const upstream = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => proxy.close());
  const { port } = ended.address() as AddressInfo;
  const channel = await dialChannel({
    ...side,
    url: new URL(`wss://127.0.0.1:${port}/channel`),
    proxy: `http://user:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}`,
  });
  const large = 'x'.repeat(1_000_000);
  assert.equal(await within('the answer', ask(channel, large)), large);
  assert.deepEqual(asked, [`127.0.0.1:${port}`]);
  // The proxy's credentials go to the proxy alone.
  assert.deepEqual(credentials, [`Basic ${Buffer.from('user:secret').toString('base64')}`]);
  assert.match(tunnelled[0]!, /^GET \/channel HTTP\/1\.1\r\n/);
  assert.doesNotMatch(tunnelled[0]!, /authorization/i);
  channel.close();
});

test('a device notices a dead path by its silence', async (t) => {
  let isDead = false;
  const proxy = await meddlingProxy(`ws://127.0.0.1:${listener.port}/channel`, ({ bytes }) =>
    isDead ? [] : [bytes],
  );
  t.after(() => proxy.close());
  const channel = await dialChannel({
    ...side,
    url: new URL(`ws://127.0.0.1:${proxy.port}/channel`),
    limits: { idleTimeoutMs: 300 },
    keepAliveMs: 100,
  });
  assert.equal(await ask(channel, 'x'), 'x');
  isDead = true;
  assert.equal((await within('the end', channel.closed))?.code, 'UNREACHABLE');
});

test('a request with too many headers opens no channel, and the listener keeps working', async () => {
  const headers = Array.from({ length: 1_990 }, (_, n) => `${n.toString(36)}:`);
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Origin: ${deviceOrigin}`,
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
  for (const lines of [
    [...headers.slice(0, 900), ...upgrade],
    [...headers, ...upgrade],
  ]) {
    const socket = net.connect(listener.port, '127.0.0.1').on('error', () => {});
    socket.write(`GET /channel HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`);
    const [answer] = await within('an answer', once(socket, 'data'));
    assert.match(String(answer), /^HTTP\/1\.1 4(?:00|03|31) /);
    socket.destroy();
  }
  const channel = await dialChannel({ ...side, url: new URL(`ws://127.0.0.1:${listener.port}/channel`) });
  assert.equal(await ask(channel, 'y'), 'y');
  channel.close();
});

test('a device does not follow redirections', async (t) => {
  const server = http.createServer().on('upgrade', (_, socket) => {
    socket.end(`HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:${listener.port}/channel\r\n\r\n`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/channel`);
  await rejectsWith(dialChannel({ ...side, url }), 'UNREACHABLE');
});

test('a proxy that never answers is given up', async (t) => {
  const sockets: net.Socket[] = [];
  const proxy = net.createServer((socket) => void sockets.push(socket.on('error', () => {}).resume()));
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  const dialling = dialChannel({
    ...side,
    url: new URL('wss://127.0.0.1:9/channel'),
    proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    limits: { handshakeTimeoutMs: 300 },
  });
  await rejectsWith(dialling, 'UNREACHABLE');
  const [socket] = sockets;
  if (socket && !socket.closed) await within('the end of the tunnel', once(socket, 'close'));
});
