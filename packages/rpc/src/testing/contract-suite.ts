// Tests for every implementation of the stream contract.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { until } from '../../../../tests/testing/until.ts';
import { type ResetReason, StreamReset } from '../streams/close-code.ts';
import type {
  ByteStream,
  ClientConnection,
  ServerConnection,
  StreamDialOptions,
  StreamListener,
  StreamListenOptions,
  StreamRefusal,
  StreamTransport,
} from '../streams/contract.ts';
import { createPki, type Pki } from './pki.ts';

export function contractSuite(name: string, transport: StreamTransport): void {
  describe(`stream contract: ${name}`, () => {
    let pki: Pki;
    const open: (StreamListener | ClientConnection)[] = [];

    before(async () => {
      pki = await createPki();
    });
    after(async () => {
      for (const each of open.reverse()) await each.close();
    });

    async function listen(options: Partial<StreamListenOptions> = {}): Promise<StreamListener> {
      const listener = await transport.listen({
        host: '127.0.0.1',
        port: 0,
        tls: pki.serverTls,
        admit: async () => {},
        serve: echo,
        ...options,
      });
      open.push(listener);
      return listener;
    }

    async function dial(port: number, options: Partial<StreamDialOptions> = {}): Promise<ClientConnection> {
      const connection = await transport.dial({ host: '127.0.0.1', port, tls: pki.clientTls, ...options });
      open.push(connection);
      return connection;
    }

    it('carries bytes in both directions, and in one when the other has ended', async () => {
      const { port } = await listen({
        serve: serving(async (stream) => {
          const asked = await readAll(stream);
          await stream.write(bytes('you said '));
          await stream.end(asked);
        }),
      });
      const stream = await (await dial(port)).openStream();
      await stream.write(bytes('hel'));
      await stream.end(bytes('lo'));
      assert.equal(text(await readAll(stream)), 'you said hello');
      assert.equal(await stream.read(), undefined);
    });

    it('carries a megabyte in order', async () => {
      const { port } = await listen();
      const stream = await (await dial(port)).openStream();
      const sent = Buffer.alloc(1_000_000, 'abcdefg');
      const received = readAll(stream);
      await stream.end(sent);
      assert.ok((await received).equals(sent));
    });

    it('shows the daemon the certificate of the client before it serves a stream', async () => {
      const order: string[] = [];
      const { port } = await listen({
        admit: async (connection) => {
          assert.deepEqual(Buffer.from(connection.peerChain[0]!), Buffer.from(pki.device.der));
          order.push('asked');
          await new Promise((resolve) => setImmediate(resolve));
          order.push('decided');
        },
        serve: (stream) => {
          order.push('served');
          echo(stream);
        },
      });
      const connection = await dial(port);
      const streams = await Promise.all([connection.openStream(), connection.openStream()]);
      for (const stream of streams) await stream.end(bytes('x'));
      for (const stream of streams) assert.equal(text(await readAll(stream)), 'x');
      assert.deepEqual(order, ['asked', 'decided', 'served', 'served']);
    });

    it('gives a refused client the code and the reason, and serves none of its streams', async () => {
      let served = 0;
      const { port } = await listen({
        admit: async () => {
          throw new IdentityError('CERTIFICATE_REVOKED', 'This certificate was revoked. Pair again.');
        },
        serve: () => void served++,
      });
      const connection = await dial(port);
      const stream = connection.openStream().then(async (stream) => {
        await stream.write(bytes('x'));
        await stream.read();
      });
      await rejectsWith(stream, 'CERTIFICATE_REVOKED');
      const reason = await connection.closed;
      assert.equal(reason?.code, 'CERTIFICATE_REVOKED');
      assert.equal(reason?.message, 'This certificate was revoked. Pair again.');
      await rejectsWith(connection.openStream(), 'CERTIFICATE_REVOKED');
      assert.equal(served, 0);
    });

    it('refuses when the decision fails, without saying why', async () => {
      const { port } = await listen({
        admit: async () => {
          throw new Error('database password wrong');
        },
      });
      const reason = await (await dial(port)).closed;
      assert.equal(reason?.code, 'INTERNAL');
      assert.ok(!reason?.message.includes('password'));
    });

    it('refuses when the decision takes too long', async () => {
      const { port } = await listen({
        admit: () => new Promise(() => {}),
        limits: { handshakeTimeoutMs: 100 },
      });
      assert.equal((await (await dial(port)).closed)?.code, 'UNREACHABLE');
    });

    it('ends every stream on both sides at once when the server closes', async () => {
      const served = deferred<[ByteStream, ServerConnection]>();
      const { port } = await listen({ serve: (...call) => served.resolve(call) });
      const connection = await dial(port);
      const stream = await connection.openStream();
      await stream.write(bytes('x'));
      const [theirs, server] = await served.promise;
      assert.equal(text(await theirs.read()), 'x');
      const pending = theirs.read();
      server.close(new IdentityError('DEVICE_REVOKED', 'The operator revoked this device.'));
      await rejectsWith(pending, 'DEVICE_REVOKED');
      await rejectsWith(theirs.write(bytes('y')), 'DEVICE_REVOKED');
      await rejectsWith(stream.read(), 'DEVICE_REVOKED');
      await rejectsWith(stream.write(bytes('y')), 'DEVICE_REVOKED');
      assert.equal((await connection.closed)?.message, 'The operator revoked this device.');
      assert.equal((await server.closed)?.code, 'DEVICE_REVOKED');
    });

    it('tells the server why the client closed', async () => {
      const admitted = deferred<ServerConnection>();
      const { port } = await listen({ admit: async (connection) => admitted.resolve(connection) });
      const connection = await dial(port);
      const server = await admitted.promise;
      connection.close(new IdentityError('CLOCK_SKEW', 'The clocks differ.'));
      assert.equal((await server.closed)?.code, 'CLOCK_SKEW');
    });

    it('closes without a reason when there is no error', async () => {
      const admitted = deferred<ServerConnection>();
      const { port } = await listen({ admit: async (connection) => admitted.resolve(connection) });
      const connection = await dial(port);
      const server = await admitted.promise;
      connection.close();
      assert.equal(await connection.closed, undefined);
      assert.equal(await server.closed, undefined);
      await rejectsWith(connection.openStream(), 'UNREACHABLE');
    });

    it('sends a code that does not apply to connections as INTERNAL', async () => {
      const { port } = await listen({
        admit: async () => {
          throw new IdentityError('STORE_FAILED', 'The registry cannot be read.');
        },
      });
      assert.equal((await (await dial(port)).closed)?.code, 'INTERNAL');
    });

    it('cuts a long reason between characters and replaces control characters', async () => {
      const { port } = await listen({
        admit: async () => {
          throw new IdentityError('DEVICE_REVOKED', `\u001b[31m${'ä'.repeat(1000)}`);
        },
      });
      assert.match((await (await dial(port)).closed)!.message, /^\ufffd\[31mä{50,130}$/);
    });

    it('tells the other side that a stream was abandoned, with the reason', async () => {
      const served = deferred<ByteStream>();
      const { port } = await listen({ serve: (stream) => served.resolve(stream) });
      const stream = await (await dial(port)).openStream();
      await stream.write(bytes('x'));
      const theirs = await served.promise;
      assert.equal(text(await theirs.read()), 'x');
      stream.reset('CANCELLED');
      await rejectsWithReset(theirs.read(), 'CANCELLED');
      await rejectsWithReset(stream.read(), 'CANCELLED');
      await rejectsWithReset(stream.write(bytes('y')), 'CANCELLED');
    });

    it('lets the server abandon a stream and keep the connection', async () => {
      let first = true;
      const { port } = await listen({
        serve: (stream) => {
          if (first) stream.reset('MESSAGE_INVALID');
          else echo(stream);
          first = false;
        },
      });
      const connection = await dial(port);
      const stream = await connection.openStream();
      await stream.write(bytes('x')).catch(() => {});
      await rejectsWithReset(stream.read(), 'MESSAGE_INVALID');
      assert.equal(await ask(connection, 'still there'), 'still there');
    });

    it('serves a stream while other streams are silent or unread', async () => {
      const { port } = await listen({
        serve: serving(async (stream) => {
          const first = await stream.read();
          if (text(first) !== 'idle') await stream.end(first);
        }),
      });
      const connection = await dial(port);
      for (let i = 0; i < 3; i++) {
        const idle = await connection.openStream();
        await idle.write(bytes('idle'));
        // Together less than an unadmitted peer may leave unread.
        await idle.write(Buffer.alloc(300_000));
      }
      await connection.openStream();
      assert.equal(await ask(connection, 'busy'), 'busy');
    });

    it('resets only the stream whose unread bytes exceed the limit', async () => {
      const stuck = deferred<ByteStream>();
      const { port } = await listen({
        serve: serving(async (stream) => {
          const first = await stream.read();
          if (text(first) === 'stuck') stuck.resolve(stream);
          else await stream.end(first);
        }),
        limits: { maxUnreadBytes: 100_000 },
      });
      const connection = await dial(port);
      const stream = await connection.openStream();
      await stream.write(bytes('stuck'));
      const theirs = await stuck.promise;
      await stream.write(Buffer.alloc(200_000)).catch(() => {});
      await rejectsWithReset(stream.read(), 'MESSAGE_TOO_LARGE');
      await rejectsWithReset(theirs.read(), 'MESSAGE_TOO_LARGE');
      assert.equal(await ask(connection, 'other'), 'other');
    });

    it('makes a client at the stream limit wait for the next stream', async () => {
      const served: ByteStream[] = [];
      const { port } = await listen({
        serve: (stream) => void served.push(stream),
        limits: { maxStreams: 2 },
      });
      const connection = await dial(port);
      const first = await connection.openStream();
      const second = await connection.openStream();
      await first.write(bytes('1'));
      await second.write(bytes('2'));

      await assert.rejects(connection.openStream(AbortSignal.timeout(50)), { name: 'TimeoutError' });
      const third = connection.openStream();
      first.reset('CANCELLED');
      await (await third).write(bytes('3'));
    });

    it('refuses a client with a reason when the limit of connections is reached', async () => {
      const refused: StreamRefusal[] = [];
      const listener = await listen({
        limits: { maxConnections: 1 },
        onRefused: (reason) => refused.push(reason),
      });
      const first = await dial(listener.port);
      assert.equal(await ask(first, 'x'), 'x');
      assert.equal(listener.connectionCount, 1);
      assert.equal((await (await dial(listener.port)).closed)?.code, 'TOO_MANY_SESSIONS');
      assert.deepEqual(refused, ['limit']);
      assert.equal(await ask(first, 'y'), 'y');
      first.close();
      await until('the end of the first connection', () => listener.connectionCount === 0);
      assert.equal(await ask(await dial(listener.port), 'z'), 'z');
    });

    it('closes a listener with all its connections and frees its port', async () => {
      const listener = await listen();
      const connection = await dial(listener.port);
      assert.equal(await ask(connection, 'x'), 'x');
      await listener.close(new IdentityError('UNREACHABLE', 'The daemon restarts.'));
      assert.equal((await connection.closed)?.message, 'The daemon restarts.');
      const next = await listen({ port: listener.port });
      assert.equal(await ask(await dial(next.port), 'y'), 'y');
      await rejectsWith(listen({ port: next.port }), 'UNREACHABLE');
    });

    it('lets running streams end before it closes, and serves no new ones', async () => {
      const asked = deferred<void>();
      const release = deferred<void>();
      const listener = await listen({
        serve: async (stream) => {
          const question = await readAll(stream);
          asked.resolve();
          await release.promise;
          await stream.end(question);
        },
      });
      const [busy, idle] = [await dial(listener.port), await dial(listener.port)];
      const answer = ask(busy, 'x');
      await asked.promise;
      const closed = listener.close(
        new IdentityError('UNREACHABLE', 'The daemon stops.'),
        new AbortController().signal,
      );
      assert.equal((await idle.closed)?.message, 'The daemon stops.');
      await rejectsWithReset(ask(busy, 'y'), 'UNREACHABLE');
      release.resolve();
      assert.equal(await answer, 'x');
      assert.equal((await busy.closed)?.message, 'The daemon stops.');
      await closed;
    });

    it('cuts running streams when their time is over', async () => {
      const asked = deferred<void>();
      const listener = await listen({
        serve: async () => {
          asked.resolve();
          await new Promise(() => {});
        },
      });
      const connection = await dial(listener.port);
      const stream = await connection.openStream();
      await stream.end(bytes('x'));
      await asked.promise;
      const until = new AbortController();
      const closed = listener.close(new IdentityError('UNREACHABLE', 'The daemon stops.'), until.signal);
      until.abort();
      assert.equal((await connection.closed)?.message, 'The daemon stops.');
      await closed;
    });

    it('fails to dial when nobody listens', async () => {
      const listener = await listen();
      await listener.close();
      await rejectsWith(dial(listener.port, { limits: { handshakeTimeoutMs: 200 } }), 'UNREACHABLE');
    });

    it('refuses invalid limits', async () => {
      await assert.rejects(listen({ limits: { maxStreams: 0 } }), TypeError);
      await assert.rejects(listen({ limits: { idleTimeoutMs: Number.NaN } }), TypeError);
    });
  });
}

const bytes = (text: string) => Buffer.from(text);
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

export async function readAll(stream: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = await stream.read();
    if (!chunk) return Buffer.concat(chunks);
    chunks.push(chunk);
  }
}

/** A server that may lose its client at any point. */
const serving = (serve: (stream: ByteStream) => Promise<void>) => (stream: ByteStream) => {
  serve(stream).catch(() => {});
};

export const echo = serving(async (stream) => stream.end(await readAll(stream)));

export async function ask(connection: ClientConnection, question: string): Promise<string> {
  const stream = await connection.openStream();
  await stream.end(bytes(question));
  return text(await readAll(stream));
}

export async function rejectsWith(promise: Promise<unknown>, code: IdentityErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => error instanceof IdentityError && error.code === code);
}

export async function rejectsWithReset(promise: Promise<unknown>, reason: ResetReason): Promise<void> {
  await assert.rejects(promise, (error) => error instanceof StreamReset && error.reason === reason);
}

export function deferred<T>(): { promise: Promise<T>; resolve(value: T): void } {
  return Promise.withResolvers<T>();
}
