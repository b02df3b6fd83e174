// Which connections get a place at the daemon's listener. No connection may keep the listener from stopping.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { type ChannelPurpose, subprotocolOf } from '@palyra/channel';
import type { ByteStream } from '@palyra/rpc/portable';
import { WebSocket } from 'ws';
import { within } from '../../../tests/testing/until.ts';
import { encodeFrame } from '../../channel/src/frame.ts';
import { serveCalls } from '../../rpc/src/calls/server.ts';
import { ask, echo, rejectsWith } from '../../rpc/src/testing/contract-suite.ts';
import { createPki, type Pki } from '../../rpc/src/testing/pki.ts';
import { derOf, judgeDaemon, ownProof } from './certificates.ts';
import { dialChannel } from './dial.ts';
import { listen, type WebSocketListener, type WebSocketListenOptions } from './listen.ts';
import { rawChannel } from './testing/raw-channel.ts';
import { deviceOrigin } from './upgrade.ts';

let pki: Pki;
const open: { close(): unknown }[] = [];

before(async () => {
  pki = await createPki();
});
after(async () => {
  for (const each of open.reverse()) await each.close();
});

async function start(options: Partial<WebSocketListenOptions> = {}): Promise<WebSocketListener> {
  const listener = await listen({
    host: '127.0.0.1',
    port: 0,
    tls: pki.serverTls,
    admit: async () => {},
    serve: echo,
    purposes: ['node', 'pair'],
    ...options,
  });
  open.push(listener);
  return listener;
}

async function dial(port: number, purpose: ChannelPurpose = 'node') {
  const channel = await dialChannel({
    url: new URL(`ws://127.0.0.1:${port}/channel`),
    purpose,
    ...(purpose === 'node' && { proof: ownProof(pki.clientTls) }),
    judge: judgeDaemon({ roots: derOf(pki.rootPem), trustDomain: pki.trustDomain }),
  });
  open.push(channel);
  return channel;
}

async function halfOpen(port: number, headers: Record<string, string> = {}): Promise<WebSocket> {
  const url = `ws://127.0.0.1:${port}/channel`;
  const socket = new WebSocket(url, subprotocolOf('node'), { origin: deviceOrigin, headers });
  socket.on('error', () => {});
  open.push({ close: () => socket.terminate() });
  await new Promise((resolve) => socket.once('open', resolve).once('close', resolve));
  return socket;
}

/** How long a stranger may be silent. Long enough for the test's own handshake on a busy machine. */
const strangerMs = 1_500;

describe('places of channels', () => {
  it('for devices are not taken by strangers', async () => {
    const { port } = await start({ limits: { maxConnections: 3 } });
    for (let each = 0; each < 3; each++) assert.equal(await ask(await dial(port, 'pair'), 'x'), 'x');
    for (let each = 0; each < 3; each++) assert.equal(await ask(await dial(port), 'x'), 'x');
    for (const purpose of ['node', 'pair'] as const) {
      const channel = await dial(port, purpose);
      assert.equal((await within('the refusal', channel.closed))?.code, 'TOO_MANY_SESSIONS');
    }
  });

  it('for strangers are not all taken by one source', async () => {
    const { port } = await start({ limits: { maxHandshakesPerSource: 2 }, proxies: ['127.0.0.1'] });
    const stranger = (source: string) =>
      rawChannel(port, { purpose: 'pair', headers: { 'x-forwarded-for': source } });
    const refused = async (source: string) => {
      const channel = await stranger(source);
      open.push({ close: () => channel.socket.terminate() });
      await channel.send(Uint8Array.of(5, 1));
      return (await within('an answer', channel.next()))?.type;
    };
    assert.equal(await refused('192.0.2.1'), 'pong');
    assert.equal(await refused('192.0.2.1'), 'pong');
    assert.equal(await refused('192.0.2.1'), 'goaway');
    assert.equal(await refused('192.0.2.2'), 'pong');
  });

  it('are free again when a channel has ended', async () => {
    const { port } = await start({ limits: { maxConnections: 1 } });
    for (const purpose of ['node', 'pair', 'node', 'pair'] as const) {
      for (;;) {
        const channel = await dial(port, purpose);
        const answer = await ask(channel, 'x').catch(({ code }) => code);
        channel.close();
        if (answer === 'x') break;
        // The daemon has not yet noticed the end of the previous channel.
        assert.equal(answer, 'TOO_MANY_SESSIONS');
      }
    }
  });

  const spellings: [name: string, headers: string[]][] = [
    ['with the port of each connection', ['192.0.2.1:1001', '192.0.2.1:1002', '192.0.2.1:1003']],
    ['as IPv6 with a port', ['[2001:db8::1]:1001', '[2001:db8::2]:1002', '2001:db8::3']],
    ['as invalid addresses', ['1.1', 'dead.beef', '::::']],
  ];
  for (const [name, [first, second, third]] of spellings) {
    it(`are counted for one source when a proxy writes it ${name}`, async () => {
      const { port } = await start({ limits: { maxHandshakesPerSource: 2 }, proxies: ['127.0.0.1'] });
      const states: number[] = [];
      for (const source of [first!, second!, third!])
        states.push((await halfOpen(port, { 'x-forwarded-for': source })).readyState);
      assert.deepEqual(states, [WebSocket.OPEN, WebSocket.OPEN, WebSocket.CLOSED]);
    });
  }
});

describe('a stranger', () => {
  const call = (bytes: readonly number[]) =>
    encodeFrame({ type: 'data', stream: 1, bytes: Uint8Array.from(bytes) });
  const strangers = {
    'that sends an incomplete call': call([0x01]),
    'that sends no call': Uint8Array.of(5, 1),
  };
  for (const [name, message] of Object.entries(strangers)) {
    it(`${name} but endless PINGs loses its place`, async () => {
      const listener = await start({
        limits: { handshakeTimeoutMs: strangerMs },
        serve: serveCalls({ routes: () => {}, requestMs: 600_000 }),
      });
      const channel = await rawChannel(listener.port, { purpose: 'pair' });
      channel.socket.on('error', () => {});
      const closed = once(channel.socket, 'close');
      await channel.send(message);
      const ping = setInterval(() => void channel.send(Uint8Array.of(5, 0)), 50);
      try {
        await within('the cut', closed);
      } finally {
        clearInterval(ping);
        channel.socket.terminate();
      }
    });
  }

  it('that waits for an answer keeps its place', async () => {
    const asked = Promise.withResolvers<ByteStream>();
    const listener = await start({
      limits: { handshakeTimeoutMs: strangerMs },
      serve: (stream, _, begins) => {
        begins?.(() => true);
        asked.resolve(stream);
      },
    });
    const channel = await rawChannel(listener.port, { purpose: 'pair' });
    const idle = await rawChannel(listener.port, { purpose: 'pair' });
    for (const { socket } of [channel, idle]) socket.on('error', () => {});
    await channel.send(call([0x01]));
    // This stranger began later and has lost its place.
    await within('the cut', once(idle.socket, 'close'));
    await (await asked.promise).end(Uint8Array.of(7));
    assert.equal((await within('the answer', channel.next()))?.type, 'data');
    channel.socket.terminate();
  });
});

describe('a listener that stops', () => {
  it('does not wait for abandoned handshakes', async () => {
    const listener = await start({ limits: { handshakeTimeoutMs: 600_000 } });
    const sockets = [await halfOpen(listener.port), await halfOpen(listener.port)];
    await within('the end', listener.close(undefined, AbortSignal.abort()));
    for (const socket of sockets)
      if (socket.readyState !== socket.CLOSED) await within('the cut', once(socket, 'close'));
    await rejectsWith(dial(listener.port), 'UNREACHABLE');
  });
});
