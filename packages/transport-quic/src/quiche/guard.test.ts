// A peer keeps sending on streams that were reset here. Without the guard, the library would create unreported streams that keep
// the data and whose errors end the process.

import assert from 'node:assert/strict';
import { describe, it, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { QuicStream as LibraryStream, QuicServerSession } from '@currentspace/http3';
import { until } from '../../../../tests/testing/until.ts';
import { createPki } from '../../../rpc/src/testing/pki.ts';
import { keyStreamId, Sealer } from '../sealed.ts';
import { connectRaw } from '../testing/raw-client.ts';
import { receiveKey, sendKey } from '../testing/raw-key.ts';
import { loadLibrary, withScratchFolder } from './library.ts';
import { serverOptions } from './listen.ts';
import { createQuic } from './quic.ts';
import type { QuicheRuntime } from './runtime.ts';

const host = '127.0.0.1';
const streamsAtOnce = 60;

async function goOn(stream: LibraryStream, seal = (bytes: Buffer): Buffer => bytes): Promise<void> {
  stream.on('error', () => {}).resume();
  for (let i = 0; i < 6 && !stream.destroyed; i++) {
    stream.write(seal(Buffer.alloc(1_000)));
    await turn();
  }
}

/** The sessions of the library on which this method is called. */
function sessionsAt<T extends object>(t: TestContext, { prototype }: { prototype: T }, method: keyof T) {
  const sessions = new Set<{ readonly _streams: ReadonlyMap<number, unknown> }>();
  const inner = prototype[method] as () => unknown;
  t.mock.method(prototype as Record<string, () => unknown>, method as string, function (this: never) {
    sessions.add(this);
    return inner.call(this);
  });
  return sessions;
}

/** One session was seen, and it keeps no stream. */
function hasNoStreams(sessions: ReturnType<typeof sessionsAt>): boolean {
  return sessions.size === 1 && [...sessions][0]!._streams.size === 0;
}

for (const runtime of ['portable', 'fast'] satisfies QuicheRuntime[]) {
  describe(`QUIC streams that were reset: ${runtime}`, () => {
    const quic = createQuic({ runtime });

    it('keep no data that a client sends on them', async (t) => {
      const sessions = sessionsAt(t, loadLibrary().QuicServerSession, 'getPeerCertificateChain');
      const pki = await createPki();
      let served = 0;
      const listener = await quic.listen({
        host,
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: async (stream) => {
          await stream.read();
          stream.reset('MESSAGE_INVALID');
          served++;
        },
      });
      t.after(() => listener.close());
      const session = connectRaw(pki, listener.port, runtime);
      t.after(() => session.close());
      await session.ready();
      sendKey(session);
      for (let i = 0; i < streamsAtOnce; i++) await goOn(session.openStream());
      await until('every stream is served', () => served === streamsAtOnce);
      await until('nothing is kept', () => hasNoStreams(sessions));
    });

    it('do not delay the next stream, however many a client refuses to read', async (t) => {
      const pki = await createPki();
      const listener = await quic.listen({
        host,
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: async (stream) => {
          await stream.read();
          for (let i = 0; i < 6; i++) {
            await stream.write(Buffer.alloc(1_000)).catch(() => {});
            await turn();
          }
        },
      });
      t.after(() => listener.close());
      // Only its own streams cause traffic on this connection.
      const connection = await quic.dial({
        host,
        port: listener.port,
        tls: pki.clientTls,
        keepAliveMs: 60_000,
      });
      t.after(() => connection.close());
      for (let i = 0; i < 300; i++) {
        const stream = await connection.openStream();
        await stream.write(Buffer.from('x'));
        await stream.read();
        stream.reset('CANCELLED');
      }
    });

    it('keep no data that a server sends on them', async (t) => {
      const sessions = sessionsAt(t, loadLibrary().QuicClientSession, 'openStream');
      const pki = await createPki();
      const server = loadLibrary().createQuicServer(serverOptions({ tls: pki.serverTls }, runtime));
      t.after(() => server.close());
      server.on('error', () => {});
      server.on('session', (session: QuicServerSession) => {
        session.on('error', () => {});
        const key = receiveKey(session);
        session.on('stream', async (stream) => {
          if (stream.id === keyStreamId) return;
          const sealer = new Sealer(await key, stream.id);
          await goOn(stream, (bytes) => sealer.seal(bytes));
        });
      });
      const { port } = await withScratchFolder((written) => {
        const listening = server.listen(0, host);
        written();
        return listening;
      });
      const connection = await quic.dial({ host, port, tls: pki.clientTls });
      t.after(() => connection.close());
      for (let i = 0; i < streamsAtOnce; i++) {
        const stream = await connection.openStream();
        await stream.write(Buffer.from('x'));
        await stream.read();
        stream.reset('MESSAGE_INVALID');
      }
      await until('nothing is kept', () => hasNoStreams(sessions));
    });
  });
}

test('an error of a stream whose connection has gone is no error of the server', async () => {
  const pki = await createPki();
  const server = loadLibrary().createQuicServer(serverOptions({ tls: pki.serverTls }, 'portable'));
  const errors: string[] = [];
  server.on('error', ({ message }) => errors.push(message));
  const tell = (streamId: number, errorReason: string) =>
    Reflect.get(server, '_onError').call(server, { connHandle: 1, streamId, meta: { errorReason } });
  tell(4, 'StreamReset(1346437121)');
  tell(4, 'stream_writable failed: InvalidStreamState(4)');
  tell(-1, 'the socket is gone');
  assert.deepEqual(errors, ['the socket is gone']);
});
