import { deepEqual, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../config.ts';
import { listenAt, placesOf } from './listeners.ts';

test('a host whose name cannot be looked up now is named with its setting', async () => {
  const refused = Object.assign(new Error('getaddrinfo EAI_AGAIN a.example'), { code: 'EAI_AGAIN' });
  const place = { name: 'node', host: 'a.example', port: 7444 } as const;
  await rejects(listenAt(place, Promise.reject(refused)), {
    code: 'UNREACHABLE',
    message:
      'The node listener cannot use a.example port 7444 (EAI_AGAIN). Set node.host or node.port in config.json.',
  });
  const ours = Object.assign(new Error('misuse'), { code: 'ERR_SOCKET_BAD_PORT' });
  await rejects(listenAt(place, Promise.reject(ours)), ours);
});

test('QUIC listens where the node listener does, unless it is told otherwise', () => {
  const quicOf = (settings: object) =>
    placesOf(parseConfig({ node: { host: '127.0.0.1', port: 7000 }, ...settings }, 'a test')).find(
      ({ name }) => name === 'quic',
    );
  deepEqual(quicOf({}), { name: 'quic', host: '127.0.0.1', port: 7000 });
  deepEqual(quicOf({ quic: { host: '::1', port: 7001 } }), { name: 'quic', host: '::1', port: 7001 });
});
