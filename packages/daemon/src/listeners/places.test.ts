import { deepEqual, rejects } from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { parseConfig } from '../config.ts';
import { startDaemon } from '../start.ts';
import { listenAt, placesOf } from './places.ts';

test('a host name that cannot be resolved is named with its setting', async () => {
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

test("QUIC listens at the node listener's host and port number by default", () => {
  const quicOf = (settings: object) =>
    placesOf(parseConfig({ node: { host: '127.0.0.1', port: 7000 }, ...settings }, 'a test')).find(
      ({ name }) => name === 'quic',
    );
  deepEqual(quicOf({}), { name: 'quic', host: '127.0.0.1', port: 7000 });
  deepEqual(quicOf({ quic: { host: '::1', port: 7001 } }), { name: 'quic', host: '::1', port: 7001 });
});

test('a UDP port that another program uses is named', async (t) => {
  const other = createSocket('udp4').bind({ port: 0, address: '127.0.0.1', exclusive: true });
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address();
  const host = '127.0.0.1';
  await rejects(
    startDaemon({
      home: temporaryFolder(),
      config: { pairing: { host, port: 0 }, node: { host, port: 0 }, quic: { host, port } },
    }),
    {
      code: 'UNREACHABLE',
      message: `UDP port ${port} for the quic listener is in use by another program. Stop that program, or set quic.port in config.json.`,
    },
  );
});
