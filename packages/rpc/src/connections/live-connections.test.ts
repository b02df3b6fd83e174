// Who gets a place on a listener, and how it becomes free again: on real sockets, with limits that a test can wait for.

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
/** Windows as large as they get, so that only the socket holds an answer back. */
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
  /** The next connection that comes to HTTP/2, as the listener has it. */
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

/** A connection on which megabytes wait for a peer that reads nothing. */
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

test('a connection that ends is over at once, and its socket soon, also when the peer has stopped reading', async (t) => {
  const { connection, connections } = await stalled(t);
  connection.end();
  await isOver(connection);
  assert.equal(connections.size, 0);
  await socketGone(connection);
});

test('a session that was destroyed elsewhere is found, and its socket with it', async (t) => {
  const { connection, stream, connections } = await stalled(t);
  stream.session!.destroy();
  await socketGone(connection);
  assert.equal(connections.size, 0);
});

test('a stranger with half a call is ended, also when it makes whole ones all the while', async (t) => {
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
    once(late, 'abort').then(() => assert.fail('it has its place still')),
  ]);
  assert.ok(calls > 0);
});

test('a known peer that sends nothing and answers no PING is ended with its calls', async (t) => {
  const { connection, connections } = await stalled(t, { idleTimeoutMs: 1_500 });
  connections.known(connection);
  await socketGone(connection);
});

test('a known peer that is idle and answers PING is told GOAWAY, and its call goes on', async (t) => {
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
  // One that comes later, and has no call, is over for its idleness meanwhile.
  await once(dial(), 'close', { signal: AbortSignal.timeout(longestWaitMs) });
  stream.end('at last');
  const [answer] = await once(call, 'data', { signal: AbortSignal.timeout(longestWaitMs) });
  assert.equal(String(answer), 'at last');
  await once(session, 'close', { signal: AbortSignal.timeout(longestWaitMs) });
});

test('a stranger is ended without a call, with half a call, and with an answer that it does not take', async (t) => {
  const { server, dial, connections } = await listen(t, { strangerIdleMs: 1_500 });
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.resume();
    stream.on('end', () => {
      // Also told of half a call whose connection has ended.
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

test('a stranger whose call the daemon works on stays', async (t) => {
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
  // Those without a call come and go meanwhile.
  for (let round = 0; round < 3; round += 1) await closed(await dial());
  assert.equal(connection.isOver, false);
  stream.end('at last');
  await closed(waiting);
  assert.equal(connections.size, 0);
});

test('one source has its share; the newest takes the place of its oldest without a call', {
  skip,
}, async (t) => {
  const { dial, connections, refused } = await listen(t, { strangersPerSource: 3 });
  const first = await dial('127.0.0.2');
  const others = [await dial('127.0.0.2'), await dial('127.0.0.2')];
  // Nobody has had its second yet.
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

test('a full listener makes room at the cost of the source that has most', { skip }, async (t) => {
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

test('a listener that is full of sources with one connection each lets go of the oldest', {
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

test('known peers and calls under way keep their places: the newcomer is refused', { skip }, async (t) => {
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

test('where all have calls, the source that has most gives up its oldest for one that has less', {
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
  // Now each has one, and nobody gives up its call for the next.
  await until('the call of the newcomer', () => begun >= 4);
  await new Promise((resolve) => setImmediate(resolve));
  await closed(await dial('127.0.0.5'));
  for (const stays of [newcomer, sockets[0]!, sockets[2]!]) assert.equal(stays.closed, false);
});
