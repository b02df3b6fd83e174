// Which connections get a place on a listener, and when the place becomes free again. Uses real sockets and short limits.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { longestWaitMs, until } from '../../../../tests/testing/until.ts';
import { type Connection, connectionOf } from './connection.ts';
import { type ConnectionLimits, LiveConnections } from './live-connections.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
/** The largest possible windows, so that only the socket delays an answer. */
const hugeWindows = Buffer.from([
  ...[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff],
  ...[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0],
]);
/** GET / of http://x on stream 1, from the static table of HPACK. */
const request = Buffer.from([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, 0x78]);
const skip = process.platform === 'linux' ? false : 'needs the addresses of 127.0.0.0/8';

async function listen(t: TestContext, limits: Partial<ConnectionLimits> = {}) {
  const server = http2.createServer();
  let refused = 0;
  const connections = new LiveConnections(
    server,
    { connections: 100, strangersPerSource: 100, strangerIdleMs: 60_000, idleTimeoutMs: 60_000, ...limits },
    () => {
      refused += 1;
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => connections.close(AbortSignal.abort()));
  const { port } = server.address() as AddressInfo;
  const dial = async (from = '127.0.0.1', words: Buffer = Buffer.alloc(0)) => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: from });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    if (words.length > 0) socket.write(words);
    return socket;
  };
  /** The next connection that starts HTTP/2, as the listener knows it. */
  const arrival = async (): Promise<Connection> => {
    const [session] = (await once(server, 'session')) as [http2.ServerHttp2Session];
    return connectionOf(session.socket) ?? assert.fail('a session without an owner');
  };
  return { server, connections, dial, arrival, refused: () => refused };
}

const isOver = (connection: Connection) => new Promise<void>((resolve) => connection.whenOver(resolve));
const socketGone = async ({ socket }: Connection) => {
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(longestWaitMs) });
};
const closed = async (socket: net.Socket) => {
  socket.resume();
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(longestWaitMs) });
};

/** A connection with megabytes waiting for a peer that reads nothing. */
async function stalled(t: TestContext, limits?: Partial<ConnectionLimits>) {
  const listener = await listen(t, limits);
  const begun = Promise.withResolvers<http2.ServerHttp2Stream>();
  listener.server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.write(Buffer.alloc(32 * 2 ** 20));
    stream.resume();
    begun.resolve(stream);
  });
  const arrival = listener.arrival();
  const socket = await listener.dial('127.0.0.1', Buffer.concat([preface, hugeWindows, request]));
  socket.pause();
  const connection = await arrival;
  return { ...listener, socket, connection, stream: await begun.promise };
}

test('an ended connection is over at once and its socket closes soon, even if the peer has stopped reading', async (t) => {
  const { connection, connections } = await stalled(t);
  connection.end();
  await isOver(connection);
  assert.equal(connections.size, 0);
  await socketGone(connection);
});

test('a session that other code destroyed is found and its socket closed', async (t) => {
  const { connection, stream, connections } = await stalled(t);
  stream.session!.destroy();
  await socketGone(connection);
  assert.equal(connections.size, 0);
});

test('a stranger with an incomplete call is ended, even if it keeps making complete calls', async (t) => {
  const { server, dial, arrival } = await listen(t, { strangerIdleMs: 1_500 });
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.resume();
    stream.on('end', () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200 });
      stream.end('an answer');
    });
  });
  const arriving = arrival();
  const half = Buffer.from(request);
  half[4] = 4;
  const socket = await dial('127.0.0.1', Buffer.concat([preface, settings, half]));
  const connection = await arriving;
  let calls = 0;
  const timer = setInterval(() => {
    calls += 1;
    const whole = Buffer.from(request);
    whole.writeUInt32BE(1 + 2 * calls, 5);
    if (!socket.destroyed) socket.write(whole);
  }, 100);
  t.after(() => clearInterval(timer));
  const late = AbortSignal.timeout(longestWaitMs);
  await Promise.race([
    isOver(connection),
    once(late, 'abort').then(() => assert.fail('the connection still has its place')),
  ]);
  assert.ok(calls > 0);
});

test('a known peer that sends nothing and answers no PING is ended with its calls', async (t) => {
  const { connection, connections } = await stalled(t, { idleTimeoutMs: 1_500 });
  connections.known(connection);
  await socketGone(connection);
});

test('an idle known peer that answers PING gets GOAWAY, and its call continues', async (t) => {
  const { server, connections } = await listen(t, { idleTimeoutMs: 1_000 });
  server.on('session', (session) => connections.known(connectionOf(session.socket)!));
  const begun = Promise.withResolvers<http2.ServerHttp2Stream>();
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    begun.resolve(stream);
  });
  const dial = () => {
    const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    t.after(() => session.destroy());
    return session;
  };
  const session = dial();
  const call = session.request({ ':path': '/' });
  const stream = await begun.promise;
  await once(session, 'goaway', { signal: AbortSignal.timeout(longestWaitMs) });
  // A later connection without a call ends in the meantime, because it is idle.
  await once(dial(), 'close', { signal: AbortSignal.timeout(longestWaitMs) });
  stream.end('at last');
  const [answer] = await once(call, 'data', { signal: AbortSignal.timeout(longestWaitMs) });
  assert.equal(String(answer), 'at last');
  await once(session, 'close', { signal: AbortSignal.timeout(longestWaitMs) });
});

test('a stranger is ended when it makes no call, an incomplete call, or does not read its answer', async (t) => {
  const { server, dial, connections } = await listen(t, { strangerIdleMs: 1_500 });
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.resume();
    stream.on('end', () => {
      // Also reported for an incomplete call whose connection has ended.
      if (stream.destroyed) return;
      stream.respond({ ':status': 200 });
      stream.end('an answer');
    });
  });
  const noWindow = Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
  const half = Buffer.from(request);
  half[4] = 4;
  const sockets = await Promise.all([
    dial(),
    dial('127.0.0.1', Buffer.concat([preface, settings])),
    dial('127.0.0.1', Buffer.concat([preface, settings, half])),
    dial('127.0.0.1', Buffer.concat([preface, noWindow, request])),
  ]);
  await Promise.all(sockets.map(closed));
  assert.equal(connections.size, 0);
});

test('a stranger keeps its place while the daemon works on its call', async (t) => {
  const { server, dial, arrival, connections } = await listen(t, { strangerIdleMs: 500 });
  const works = Promise.withResolvers<http2.ServerHttp2Stream>();
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.resume();
    works.resolve(stream);
  });
  const arriving = arrival();
  const waiting = await dial('127.0.0.1', Buffer.concat([preface, settings, request]));
  waiting.resume();
  const connection = await arriving;
  const stream = await works.promise;
  // Connections without a call come and go in the meantime.
  for (let round = 0; round < 3; round += 1) await closed(await dial());
  assert.equal(connection.isOver, false);
  stream.end('at last');
  await closed(waiting);
  assert.equal(connections.size, 0);
});

test('each source has a share; a new connection takes the place of its source’s oldest one without a call', {
  skip,
}, async (t) => {
  const { dial, connections, refused } = await listen(t, { strangersPerSource: 3 });
  const first = await dial('127.0.0.2');
  const others = [await dial('127.0.0.2'), await dial('127.0.0.2')];
  // No connection has kept its place for its first second yet.
  await closed(await dial('127.0.0.2'));
  const other = await dial('127.0.0.3');
  assert.equal(refused(), 1);
  const over = closed(first);
  while (!first.closed) {
    await dial('127.0.0.2');
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  assert.equal(connections.size, 4);
  assert.equal(other.closed, false);
  assert.ok(others.length > 0);
});

test('a full listener makes room by ending a connection of the source with most connections', {
  skip,
}, async (t) => {
  const { dial, connections } = await listen(t, { connections: 8, strangersPerSource: 4 });
  const single = await dial('127.0.0.2');
  const many: net.Socket[] = [];
  for (const from of [
    '127.0.0.3',
    '127.0.0.3',
    '127.0.0.3',
    '127.0.0.3',
    '127.0.0.4',
    '127.0.0.4',
    '127.0.0.4',
  ])
    many.push(await dial(from));
  const newcomer = await dial('127.0.0.5');
  await closed(many[0]!);
  assert.equal(connections.size, 8);
  for (const stays of [single, newcomer, ...many.slice(1)]) assert.equal(stays.closed, false);
});

test('a listener full of sources with one connection each ends the oldest connection', {
  skip,
}, async (t) => {
  const { dial, connections } = await listen(t, { connections: 6 });
  const sockets: net.Socket[] = [];
  for (let host = 2; host < 8; host += 1) sockets.push(await dial(`127.0.0.${host}`));
  const newcomer = await dial('127.0.0.9');
  await closed(sockets[0]!);
  for (const stays of [newcomer, ...sockets.slice(1)]) assert.equal(stays.closed, false);
  assert.equal(connections.size, 6);
});

test('known peers and running calls keep their places, and a new connection is refused', {
  skip,
}, async (t) => {
  const { server, dial, connections, refused } = await listen(t, { connections: 2 });
  const working = Promise.withResolvers<void>();
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.resume();
    stream.once('end', () => setImmediate(() => working.resolve()));
  });
  server.once('session', (session) => connections.known(connectionOf(session.socket)!));
  const known = await dial('127.0.0.2', Buffer.concat([preface, settings]));
  await once(known, 'readable');
  const calling = await dial('127.0.0.3', Buffer.concat([preface, settings, request]));
  await working.promise;
  await closed(await dial('127.0.0.4'));
  assert.equal(refused(), 1);
  assert.equal(known.closed || calling.closed, false);
  known.destroy();
  await once(known, 'close');
  await until('a free place', () => connections.size <= 1);
  const next = await dial('127.0.0.4', Buffer.concat([preface, settings]));
  await once(next, 'readable');
});

test('when all have calls, the source with most connections gives up its oldest for a source with fewer', {
  skip,
}, async (t) => {
  const { server, dial, connections } = await listen(t, { connections: 3 });
  let begun = 0;
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.resume();
    stream.once('end', () => {
      begun += 1;
    });
  });
  const call = Buffer.concat([preface, settings, request]);
  const sockets: net.Socket[] = [];
  for (const from of ['127.0.0.2', '127.0.0.3', '127.0.0.3']) {
    sockets.push(await dial(from, call));
    await until('the call', () => begun >= sockets.length);
  }
  await new Promise((resolve) => setImmediate(resolve));
  const newcomer = await dial('127.0.0.4', call);
  await closed(sockets[1]!);
  assert.equal(connections.size, 3);
  // Now each source has one connection, and no call is ended for the next connection.
  await until('the call of the newcomer', () => begun >= 4);
  await new Promise((resolve) => setImmediate(resolve));
  await closed(await dial('127.0.0.5'));
  for (const stays of [newcomer, sockets[0]!, sockets[2]!]) assert.equal(stays.closed, false);
});
