// How the library treats datagrams that it should not answer, or should answer differently (docs/quic.md 5). Our code cannot
// change that. When a version of the library does better, these tests fail, and docs/quic.md needs an update.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { within } from '../../../../tests/testing/until.ts';
import { createPki } from '../../../rpc/src/testing/pki.ts';
import { createQuic } from './quic.ts';

/** The header of an Initial packet (RFC 9000 17.2.2), followed by padding. */
function initial(version: number, size: number): Buffer {
  const head = Buffer.from('c00000000008aaaaaaaaaaaaaaaa0000', 'hex');
  head.writeUInt32BE(version, 1);
  return Buffer.concat([head, Buffer.alloc(size - head.length)]);
}

async function peer(t: TestContext) {
  const pki = await createPki();
  const host = '127.0.0.1';
  const listener = await createQuic().listen({
    host,
    port: 0,
    tls: pki.serverTls,
    admit: async () => {},
    serve: () => {},
  });
  t.after(() => listener.close());
  const socket = createSocket('udp4').bind(0, host);
  await once(socket, 'listening');
  t.after(() => socket.close());
  const send = (datagram: Buffer) => socket.send(datagram, listener.port, host);
  const answer = async () => {
    const [datagram] = (await within('an answer', once(socket, 'message'))) as [Buffer];
    return datagram;
  };
  return { send, answer };
}

/** The type of a packet with a long header of version 1. */
const typeOf = (packet: Buffer) => (packet[0]! >> 4) & 3;
const retry = 3;
/** The smallest datagram in which a client may send an Initial (RFC 9000 14.1). */
const smallest = 1200;

test('an Initial in a datagram that is too small draws a Retry, of about five times its size', async (t) => {
  const { send, answer } = await peer(t);
  const small = initial(1, 20);
  send(small);
  const drawn = await answer();
  assert.equal(typeOf(drawn), retry);
  assert.ok(drawn.length > small.length && drawn.length <= 120, `${drawn.length} bytes`);
});

test('an unknown version is ignored', async (t) => {
  const { send, answer } = await peer(t);
  send(initial(0x0a1a2a3a, smallest));
  send(initial(1, smallest));
  const drawn = await answer();
  // A Version Negotiation packet would have version 0.
  assert.equal(drawn.readUInt32BE(1), 1);
  assert.equal(typeOf(drawn), retry);
});
