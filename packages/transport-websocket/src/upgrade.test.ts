// Which HTTP requests open a channel, and the answers to all others.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { subprotocolOf } from '@palyra/channel';
import { within } from '../../../tests/testing/until.ts';
import { createPki } from '../../rpc/src/testing/pki.ts';
import { listen, type WebSocketListener } from './listen.ts';
import { deviceOrigin } from './upgrade.ts';

describe('a request for a channel', () => {
  let listener: WebSocketListener;
  let port: number;
  before(async () => {
    listener = await listen({
      host: '127.0.0.1',
      port: 0,
      tls: (await createPki()).serverTls,
      admit: async () => {},
      serve: () => {},
      origins: ['chrome-extension://abcdefghijklmnopabcdefghijklmnop'],
    });
    ({ port } = listener);
  });
  after(() => listener.close());

  const upgrade = (headers: Record<string, string>, path = '/channel') =>
    new Promise<number>((resolve, reject) => {
      const request = http.get({
        host: '127.0.0.1',
        port,
        path,
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'sec-websocket-protocol': subprotocolOf('node'),
          ...headers,
        },
      });
      request.on('response', (response) => resolve(response.resume().statusCode ?? 0));
      request.on('upgrade', (_, socket) => {
        socket.destroy();
        resolve(101);
      });
      request.on('error', reject);
    });

  const requests: [name: string, headers: Record<string, string>, status: number, path?: string][] = [
    ['of a device', { origin: deviceOrigin }, 101],
    [
      'of an extension that is listed',
      { origin: 'chrome-extension://abcdefghijklmnopabcdefghijklmnop' },
      101,
    ],
    ['without an origin', {}, 403],
    [
      'of an extension that is not listed',
      { origin: 'chrome-extension://ponmlkjihgfedcbaponmlkjihgfedcba' },
      403,
    ],
    ['of a page', { origin: 'https://example.com' }, 403],
    ['of a page of this machine', { origin: 'http://localhost:8080' }, 403],
    ['of a sandboxed frame or a file', { origin: 'null' }, 403],
    [
      'of a page whose host name points here',
      { origin: 'http://rebound.example:7446', host: 'rebound.example:7446' },
      403,
    ],
    ['with an origin in another spelling', { origin: 'PALYRA://device' }, 403],
    ['with two origins', { origin: `${deviceOrigin}, https://example.com` }, 403],
    ['for another path', { origin: deviceOrigin }, 404, '/channel/'],
    ['with a query', { origin: deviceOrigin }, 404, '/channel?x=1'],
    ['for another protocol', { origin: deviceOrigin, 'sec-websocket-protocol': 'chat' }, 400],
    [
      'for a purpose that is not served',
      { origin: deviceOrigin, 'sec-websocket-protocol': subprotocolOf('pair') },
      400,
    ],
    ['of another version', { origin: deviceOrigin, 'sec-websocket-version': '12' }, 400],
    ['with an invalid key', { origin: deviceOrigin, 'sec-websocket-key': 'x' }, 400],
  ];
  for (const [name, headers, status, path] of requests) {
    it(`${name} is answered with ${status}`, async () => assert.equal(await upgrade(headers, path), status));
  }

  const head = [
    'connection: Upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    `sec-websocket-protocol: ${subprotocolOf('node')}`,
    `origin: ${deviceOrigin}`,
  ];
  const host = 'host: 127.0.0.1';
  const written: [name: string, version: string, headers: string[], body: string, status: number][] = [
    ['with one host and no body', '1.1', [host], '', 101],
    ['with an empty body', '1.1', [host, 'content-length: 0'], '', 101],
    ['of HTTP/1.0', '1.0', [host], '', 400],
    ['without a host', '1.1', [], '', 400],
    ['with two hosts', '1.1', [host, 'host: home.example'], '', 400],
    ['with a body', '1.1', [host, 'content-length: 5'], 'hello', 400],
    ['whose body comes later', '1.1', [host, 'content-length: 5'], '', 400],
    ['with a body in chunks', '1.1', [host, 'transfer-encoding: chunked'], '0\r\n\r\n', 400],
    ['with two lengths', '1.1', [host, 'content-length: 0', 'content-length: 5'], 'hello', 400],
    ['with bytes of a client that does not wait for the answer', '1.1', [host], 'hello', 400],
    ['of another method', '1.1', [host], 'POST', 400],
  ];
  for (const [name, version, headers, body, status] of written) {
    it(`${name} is answered with ${status}`, async () => {
      const socket = net.connect({ host: '127.0.0.1', port });
      try {
        const method = body === 'POST' ? 'POST' : 'GET';
        const lines = [`${method} /channel HTTP/${version}`, ...head, ...headers];
        socket.write(`${lines.join('\r\n')}\r\n\r\n${body === 'POST' ? '' : body}`);
        const [answer] = await within('an answer', once(socket, 'data'));
        assert.match(String(answer), new RegExp(`^HTTP/1\\.1 ${status} `));
        if (status !== 101) await within('the end', once(socket, 'close'));
      } finally {
        socket.destroy();
      }
    });
  }

  it('for a page or a form get a plain HTTP answer', async () => {
    const answer = async (path: string, init?: RequestInit) =>
      (await fetch(`http://127.0.0.1:${port}${path}`, init)).status;
    assert.equal(await answer('/channel'), 426);
    assert.equal(await answer('/channel', { method: 'POST', body: 'a=b' }), 426);
    assert.equal(await answer('/'), 404);
  });
});
