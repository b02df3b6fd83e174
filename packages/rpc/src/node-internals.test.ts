// Simulates changed versions of Node. Creating a listener fails on each, and the error names the change.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import http2 from 'node:http2';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { LiveConnections } from './connections/live-connections.ts';
import { defaultHttp2Limits } from './http2/limits.ts';
import { expectSocketBelow, socketBelow, takeOver } from './node-internals.ts';

test("Node's listener is removed from its server, and can still be called", () => {
  const server = new EventEmitter();
  const calls: unknown[] = [];
  server.on('stream', function (this: unknown, ...args: unknown[]) {
    calls.push(this, ...args);
  });
  const inner = takeOver(server, 'stream');
  assert.equal(server.listenerCount('stream'), 0);
  inner('a', 'b');
  assert.deepEqual(calls, [server, 'a', 'b']);
});

for (const event of ['connection', 'secureConnection', 'stream'] as const) {
  test(`a Node that serves "${event}" with no listener, or with two, is refused`, () => {
    const changed = {
      name: 'TypeError',
      message: `this version of Node serves the event ${event} in another way`,
    };
    const server = new EventEmitter();
    assert.throws(() => takeOver(server, event), changed);
    server.on(event, () => {}).on(event, () => {});
    assert.throws(() => takeOver(server, event), changed);
    assert.equal(server.listenerCount(event), 2, 'no listener was removed');
  });
}

test('a Node that keeps the socket below TLS elsewhere is refused', () => {
  expectSocketBelow();
  const moved = (below: Socket) => {
    const above = new TLSSocket(below);
    Object.defineProperty(above, '_parent', { value: undefined });
    return above;
  };
  const changed = { name: 'TypeError', message: 'this version of Node hides the socket below TLS' };
  assert.throws(() => expectSocketBelow(moved), changed);
  const bare = new TLSSocket(new Socket());
  assert.ok(socketBelow(bare) instanceof Socket);
  bare.destroy();
});

test('no listener is created on a server that accepts connections in another way', () => {
  const server = http2.createServer();
  server.on('connection', () => {});
  assert.throws(() => new LiveConnections(server, { ...defaultHttp2Limits, connections: 1 }), TypeError);
});
