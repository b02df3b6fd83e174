// How each side handles a GOAWAY, and a peer that breaks the protocol. The bare library plays that peer.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { before, describe, it, type TestContext } from 'node:test';
import type {
  QuicClientSession,
  QuicConnectOptions,
  QuicServerSession,
  QuicStream,
} from '@currentspace/http3';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { until } from '../../../../tests/testing/until.ts';
import { toCloseNumber } from '../../../rpc/src/streams/close-code.ts';
import type {
  ClientConnection,
  ServerConnection,
  StreamListener,
} from '../../../rpc/src/streams/contract.ts';
import { deferred } from '../../../rpc/src/testing/contract-suite.ts';
import { createPki, type Pki } from '../../../rpc/src/testing/pki.ts';
import { decodeGoaway, encodeGoaway } from '../goaway.ts';
import { makeKey, Opener, Sealer } from '../sealed.ts';
import { connectRaw } from '../testing/raw-client.ts';
import { receiveKey, sendKey } from '../testing/raw-key.ts';
import { loadLibrary, withScratchFolder } from './library.ts';
import { serverOptions } from './listen.ts';
import { createQuic } from './quic.ts';
import type { QuicheRuntime } from './runtime.ts';

const host = '127.0.0.1';
const revoked = new IdentityError('DEVICE_REVOKED', 'The operator revoked this device.');

for (const runtime of ['portable', 'fast'] satisfies QuicheRuntime[]) {
  describe(`QUIC GOAWAY: ${runtime}`, () => {
    const quic = createQuic({ runtime });
    let pki: Pki;

    before(async () => {
      pki = await createPki();
    });

    /** Our listener, and a client that the test controls. */
    async function withRawClient(
      t: TestContext,
      options: QuicConnectOptions = {},
    ): Promise<{
      listener: StreamListener;
      session: QuicClientSession;
      key: Uint8Array;
      server: ServerConnection;
      served: () => number;
    }> {
      const admitted = deferred<ServerConnection>();
      let served = 0;
      const listener = await quic.listen({
        host,
        port: 0,
        tls: pki.serverTls,
        admit: async (connection) => admitted.resolve(connection),
        serve: () => void served++,
      });
      t.after(() => listener.close());
      const session = connectRaw(pki, listener.port, runtime, options);
      t.after(() => session.close());
      await session.ready();
      const key = sendKey(session);
      return { listener, session, key, server: await admitted.promise, served: () => served };
    }

    /** Our client, and a server that the test controls. */
    async function withRawServer(
      t: TestContext,
    ): Promise<{ connection: ClientConnection; session: QuicServerSession; key: Uint8Array }> {
      const server = loadLibrary().createQuicServer(serverOptions({ tls: pki.serverTls }, runtime));
      t.after(() => server.close());
      const { port } = await withScratchFolder((written) => {
        const listening = server.listen(0, host);
        written();
        return listening;
      });
      // At once, because the first stream may come in the same turn.
      const accepted = Promise.withResolvers<{ session: QuicServerSession; key: Promise<Uint8Array> }>();
      server.once('session', (session: QuicServerSession) => {
        session.on('error', () => {});
        accepted.resolve({ session, key: receiveKey(session) });
      });
      const connection = await quic.dial({ host, port, tls: pki.clientTls });
      t.after(() => connection.close());
      const { session, key } = await accepted.promise;
      return { connection, session, key: await key };
    }

    it('comes before the close, and alone has the words', async (t) => {
      const { session, key, server } = await withRawClient(t);
      const closed = once(session, 'close');
      const opened = once(session, 'stream');
      server.close(revoked);
      const [stream] = await opened;
      const [goaway] = new Opener(key, stream.id).open(await buffer(stream));
      assert.deepEqual(decodeGoaway(goaway!), {
        errorCode: toCloseNumber('DEVICE_REVOKED'),
        reason: revoked.message,
      });
      const [{ errorCode, reason }] = await closed;
      assert.deepEqual([errorCode, reason], [toCloseNumber('DEVICE_REVOKED'), '']);
    });

    it('ends the service for a client that does not leave', async (t) => {
      const { listener, session, server, served } = await withRawClient(t);
      const first = session.openStream();
      first.on('error', () => {}).write('x');
      await until('the first stream is served', () => served() > 0);

      const closed = once(session, 'close');
      const opened = once(session, 'stream');
      server.close(revoked);
      await server.closed;
      assert.equal(listener.connectionCount, 0);
      await opened;
      for (let i = 0; i < 5; i++)
        session
          .openStream()
          .on('error', () => {})
          .write('y');
      first.write('y');
      await new Promise((resolve) => setTimeout(resolve, 20));
      first.close(7);
      await closed;
      assert.equal(served(), 1);
    });

    it('is left out when the client allows the server no stream', async (t) => {
      const { session, server } = await withRawClient(t, { initialMaxStreamsBidi: 0 });
      const closed = once(session, 'close');
      server.close(revoked);
      const [{ errorCode }] = await closed;
      assert.equal(errorCode, toCloseNumber('DEVICE_REVOKED'));
    });

    it('does not delay the close of a listener', async (t) => {
      const { listener, session, server } = await withRawClient(t);
      const closed = once(session, 'close');
      server.close(revoked);
      await listener.close(new IdentityError('UNREACHABLE', 'The daemon stops.'));
      await closed;
    });

    it('ends the client’s connection without waiting for the close', async (t) => {
      const { connection, session, key } = await withRawServer(t);
      const left = once(session, 'close');
      const stream = await connection.openStream();
      const goaway = session.openStream().resume();
      goaway.end(new Sealer(key, goaway.id).seal(encodeGoaway(revoked)));
      const reason = await connection.closed;
      assert.deepEqual([reason?.code, reason?.message], ['DEVICE_REVOKED', revoked.message]);
      await assert.rejects(stream.read(), { code: 'DEVICE_REVOKED' });
      await assert.rejects(connection.openStream(), { code: 'DEVICE_REVOKED' });
      const [{ errorCode }] = await left;
      assert.equal(errorCode, 0);
    });

    it('is needed for a code that ends a device: neither a close nor a reset alone has this effect', async (t) => {
      const { connection, session } = await withRawServer(t);
      const asked = once(session, 'stream') as Promise<[QuicStream]>;
      const stream = await connection.openStream();
      await stream.write(Buffer.from('x'));
      const [raw] = await asked;
      raw.on('error', () => {}).close(toCloseNumber('DEVICE_REVOKED'));
      await assert.rejects(stream.read(), { code: 'UNREACHABLE' });
      session.close(toCloseNumber('CERTIFICATE_SUPERSEDED'), 'Replaced.');
      assert.equal((await connection.closed)?.code, 'UNREACHABLE');
    });

    it('that is sealed for another connection ends this one, which connects again', async (t) => {
      const { connection, session } = await withRawServer(t);
      const goaway = session
        .openStream()
        .on('error', () => {})
        .resume();
      goaway.end(new Sealer(makeKey(), goaway.id).seal(encodeGoaway(revoked)));
      assert.equal((await connection.closed)?.code, 'UNREACHABLE');
    });

    const bad: [string, Uint8Array, IdentityErrorCode][] = [
      ['an empty message', Buffer.alloc(0), 'MESSAGE_INVALID'],
      ['half a number', Buffer.from([0x50, 0x41, 0]), 'MESSAGE_INVALID'],
      [
        'a message that is too long',
        Buffer.concat([encodeGoaway(revoked), Buffer.alloc(300, 'a')]),
        'MESSAGE_INVALID',
      ],
      ['a message without an end', Buffer.alloc(2_000_000, 'a'), 'MESSAGE_INVALID'],
      ['a number of another version', Buffer.from([0x50, 0x41, 0x0f, 0xff]), 'UNREACHABLE'],
    ];
    for (const [name, bytes, code] of bad) {
      it(`ends the connection even when it is invalid: ${name}`, async (t) => {
        const { connection, session, key } = await withRawServer(t);
        const left = once(session, 'close');
        const goaway = session
          .openStream()
          .on('error', () => {})
          .resume();
        goaway.end(new Sealer(key, goaway.id).seal(bytes));
        assert.equal((await connection.closed)?.code, code);
        const [{ errorCode }] = await left;
        assert.equal(errorCode, code === 'MESSAGE_INVALID' ? toCloseNumber(code) : 0);
      });
    }
  });
}
