import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import test, { type TestContext } from 'node:test';
import { IdentityError } from '@palyra/identity';
import type { ListOfAuthority, RevocationList } from '@palyra/identity/registry';
import { makeUlid } from '@palyra/identity/values';
import { listenPublish } from './publish-listener.ts';

const partBytes = 64 * 1024;
const nextUpdate = new Date('2030-01-01T00:00:00Z');
let made = 0;

/** @param bytes size of the DER, which nothing here reads. */
function listOf(bytes: number): RevocationList {
  made += 1;
  const der = [];
  for (let at = 0; at < bytes; at += partBytes)
    der.push(Buffer.alloc(Math.min(partBytes, bytes - at), made + at / partBytes));
  return { issuerId: makeUlid(new Date(made), new Uint8Array(10)), der, number: made, nextUpdate };
}

const good = (list: RevocationList): ListOfAuthority => ({ issuerId: list.issuerId, list, error: undefined });

async function listen(t: TestContext, current: () => Promise<ListOfAuthority[]>) {
  const errors: string[] = [];
  const listener = await listenPublish(
    { host: '127.0.0.1', port: 0 },
    {
      trustBundle: [],
      publishedBundle: async () => ({ roots: [], sequence: 1 }),
      revocationLists: { current },
    },
    (error, where) => errors.push(`${where}: ${(error as Error).message}`),
  );
  t.after(() => listener.close());
  const get = (page: string) => fetch(`http://127.0.0.1:${listener.port}${page}`);
  return { ...listener, errors, get };
}

test('a list that fails is omitted or served in its last version, the others are served, and the error is reported once', async (t) => {
  const [first, second, third] = [listOf(1000), listOf(2000), listOf(3000)];
  const error = new IdentityError('SIGNER_UNAVAILABLE', 'The token is away.');
  const old = { ...good(second), error };
  let lists: ListOfAuthority[] = [good(first), old, { ...good(third), list: undefined, error }];
  const { get, errors } = await listen(t, async () => lists);
  for (let round = 0; round < 3; round += 1) {
    const response = await get('/crl.pem');
    assert.equal(response.status, 200);
    const text = await response.text();
    assert.equal(text.length, Number(response.headers.get('content-length')));
    const found = text
      .split(/-----(?:BEGIN|END) X509 CRL-----\n/)
      .filter(Boolean)
      .map((body) => Buffer.from(body, 'base64'));
    assert.deepEqual(found, [Buffer.concat(first.der), Buffer.concat(second.der)]);
  }
  assert.equal((await get('/crl.der')).status, 200);
  assert.deepEqual(errors, [`the revocation list of authority ${second.issuerId}: The token is away.`]);

  lists = [{ ...good(first), list: undefined, error: new Error('another') }, good(second)];
  assert.equal((await get('/crl.der')).status, 503, 'the list of another authority is not the one asked for');
  assert.equal((await get('/crl.pem')).status, 200);
  assert.equal(errors.length, 2);
  lists = [{ ...good(first), list: undefined, error: new Error('a third') }];
  assert.equal((await get('/crl.pem')).status, 503, 'no list at all is not an empty file');
});

test('stalled readers do not keep every version of a list in memory', { timeout: 60_000 }, async (t) => {
  // Larger than the buffers of two sockets.
  const bytes = 40 * 2 ** 20;
  let list = listOf(bytes);
  const { port } = await listen(t, async () => [good(list)]);
  const ask = async () => {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {});
    t.after(() => socket.destroy());
    socket.write('GET /crl.der HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    await once(socket, 'readable');
    return socket;
  };
  const readToTheEnd = async (socket: net.Socket) => {
    const closed = once(socket, 'close');
    socket.resume();
    await closed;
    return socket.bytesRead;
  };
  const sockets = [];
  for (let generation = 0; generation < 4; generation += 1) {
    // Two readers of each version.
    sockets.push(await ask(), await ask());
    list = listOf(bytes);
  }
  const read = await Promise.all(sockets.map(readToTheEnd));
  const whole = read.map((length) => length > bytes);
  assert.deepEqual(whole, [false, false, false, false, true, true, true, true]);
});
