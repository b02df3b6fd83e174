// An attacker in between, or a peer that breaks the protocol, can only end its own connection.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { subprotocolOf } from '@palyra/channel';
import { WebSocket } from 'ws';
import { until, within } from '../../../tests/testing/until.ts';
import { encodeFrame } from '../../channel/src/frame.ts';
import { serveCalls } from '../../rpc/src/calls/server.ts';
import { ask, echo, rejectsWith } from '../../rpc/src/testing/contract-suite.ts';
import { createPki, type Pki } from '../../rpc/src/testing/pki.ts';
import { derOf, judgeDaemon, ownProof } from './certificates.ts';
import { dialChannel } from './dial.ts';
import { listen, type WebSocketListener, type WebSocketListenOptions } from './listen.ts';
import { type Meddle, meddlingProxy } from './testing/meddling-proxy.ts';
import { type RawChannel, rawChannel } from './testing/raw-channel.ts';
import { deviceOrigin } from './upgrade.ts';

let pki: Pki;
let foreign: Pki;
const open: { close(): unknown }[] = [];

before(async () => {
  pki = await createPki();
  foreign = await createPki('palyra-other.internal');
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
    ...options,
  });
  open.push(listener);
  return listener;
}

const judgeOf = (of: Pki) => judgeDaemon({ roots: derOf(of.rootPem), trustDomain: of.trustDomain });

async function dial(port: number, options: Partial<Parameters<typeof dialChannel>[0]> = {}) {
  const connection = await dialChannel({
    url: new URL(`ws://127.0.0.1:${port}/channel`),
    purpose: 'node',
    proof: ownProof(pki.clientTls),
    judge: judgeOf(pki),
    ...options,
  });
  open.push(connection);
  return connection;
}

const flip = (bytes: Uint8Array, at: number) =>
  bytes.with(at < 0 ? bytes.length + at : at, bytes.at(at)! ^ 1);
const pass: Meddle = ({ bytes }) => [bytes];

describe('a proxy between device and daemon', () => {
  let listener: WebSocketListener;
  before(async () => {
    listener = await start();
  });

  async function through(meddle: Meddle, subprotocol?: string) {
    const proxy = await meddlingProxy(`ws://127.0.0.1:${listener.port}/channel`, meddle, subprotocol);
    open.push(proxy);
    return proxy.port;
  }

  it('that only forwards messages is not noticed', async () => {
    const connection = await dial(await through(pass));
    assert.equal(await ask(connection, 'hello'), 'hello');
  });

  const handshake: [name: string, meddle: Meddle][] = [
    ['changes a bit of a key', ({ bytes, index }) => [index === 0 ? flip(bytes, 0) : bytes]],
    ['changes the last bit of a message', ({ bytes, from }) => [from === 'daemon' ? flip(bytes, -1) : bytes]],
    ['cuts a message', ({ bytes, index }) => [index === 0 ? bytes.subarray(0, -1) : bytes]],
    ['sends a message back', ({ bytes, from, other }) => [from === 'daemon' ? (other ?? bytes) : bytes]],
    ['repeats every message', ({ bytes, from }) => (from === 'daemon' ? [bytes, bytes] : [bytes])],
    ['replaces every message with its own', ({ bytes }) => [Buffer.alloc(bytes.length, 7)]],
    ['sends an empty message', () => [Buffer.alloc(0)]],
    ['answers with the largest message', () => [Buffer.alloc(65_535)]],
  ];
  for (const [name, meddle] of handshake) {
    it(`that ${name} during the handshake causes it to fail`, async () => {
      const port = await through(meddle);
      await assert.rejects(
        async () => {
          const connection = await dial(port);
          await ask(connection, 'x');
        },
        ({ code }: { code: string }) => ['DAEMON_NOT_AUTHENTICATED', 'UNREACHABLE'].includes(code),
      );
    });
  }

  it('that drops a message makes the device wait for its timeout', async () => {
    const port = await through(({ from, bytes }) => (from === 'daemon' ? [] : [bytes]));
    await rejectsWith(dial(port, { limits: { handshakeTimeoutMs: 200 } }), 'UNREACHABLE');
  });

  it('that changes the purpose of the channel causes the handshake to fail', async () => {
    const both = await start({ purposes: ['node', 'pair'] });
    const proxy = await meddlingProxy(`ws://127.0.0.1:${both.port}/channel`, pass, subprotocolOf('pair'));
    open.push(proxy);
    await rejectsWith(dial(proxy.port), 'DAEMON_NOT_AUTHENTICATED');
  });

  // The device's first two messages and the daemon's first message are the handshake.
  const later: [name: string, meddle: Meddle][] = [
    ['changes', ({ bytes, index, from }) => [from === 'device' && index === 3 ? flip(bytes, 0) : bytes]],
    ['repeats', ({ bytes, index, from }) => (from === 'device' && index === 3 ? [bytes, bytes] : [bytes])],
    ['drops', ({ bytes, index, from }) => (from === 'device' && index === 3 ? [] : [bytes])],
    ['cuts', ({ bytes, index, from }) => [from === 'device' && index === 3 ? bytes.subarray(1) : bytes]],
    ['swaps', ({ bytes, index, from, other }) => [from === 'device' && index === 3 ? other! : bytes]],
    [
      'changes answers',
      ({ bytes, index, from }) => [from === 'daemon' && index === 2 ? flip(bytes, 0) : bytes],
    ],
    ['swaps answers', ({ bytes, index, from, other }) => [from === 'daemon' && index === 2 ? other! : bytes]],
  ];
  for (const [name, meddle] of later) {
    it(`that ${name} a message after the handshake ends the connection and its calls`, async () => {
      const connection = await dial(await through(meddle));
      assert.equal(await ask(connection, 'one'), 'one');
      const two = ask(connection, 'two');
      two.catch(() => {});
      // The next message reveals a dropped one.
      await new Promise((resolve) => setImmediate(resolve));
      const three = ask(connection, 'three');
      for (const outcome of await within('the end', Promise.allSettled([two, three])))
        if (outcome.status === 'fulfilled') assert.match(outcome.value, /^(two|three)$/);
      assert.equal((await within('the end', connection.closed))?.code, 'UNREACHABLE');
      await rejectsWith(ask(connection, 'six'), 'UNREACHABLE');
    });
  }

  it('harms no other connection', async () => {
    assert.equal(await ask(await dial(listener.port), 'x'), 'x');
  });
});

describe('a daemon that is not the expected one', () => {
  it('is refused with any certificate', async () => {
    const impostors = [
      foreign.serverTls,
      { ...pki.device, clientRoots: pki.rootPem },
      // Our daemon's certificate, with a key that is not its own.
      { ...pki.serverTls, privateKey: foreign.serverTls.privateKey },
    ];
    for (const tls of impostors) {
      let shown = 0;
      const listener = await start({ tls, admit: async () => void shown++ });
      await rejectsWith(dial(listener.port), 'DAEMON_NOT_AUTHENTICATED');
      assert.equal(shown, 0);
    }
  });

  it('does not learn the identity of the device', async () => {
    const lengths: number[] = [];
    const listener = await start({ tls: foreign.serverTls });
    const proxy = await meddlingProxy(`ws://127.0.0.1:${listener.port}/channel`, ({ from, bytes }) => {
      if (from === 'device') lengths.push(bytes.length);
      return [bytes];
    });
    open.push(proxy);
    await rejectsWith(dial(proxy.port), 'DAEMON_NOT_AUTHENTICATED');
    assert.deepEqual(lengths, [32]);
  });

  it('is distinguished from a daemon whose clock is wrong', async () => {
    const past = await createPki(pki.trustDomain, new Date(Date.now() - 60 * 86_400_000));
    const listener = await start({ tls: past.serverTls });
    await rejectsWith(dial(listener.port, { judge: judgeOf(past) }), 'CLOCK_SKEW');
  });
});

describe('a device that the daemon refuses', () => {
  let listener: WebSocketListener;
  let admitted = 0;
  before(async () => {
    listener = await start({ admit: async () => void admitted++ });
  });

  const refusals: [name: string, proof: () => ReturnType<typeof ownProof> | undefined, code: string][] = [
    ['without a certificate', () => undefined, 'CERTIFICATE_MISSING'],
    ['of another daemon', () => ownProof(foreign.clientTls), 'CERTIFICATE_UNKNOWN'],
    [
      "with another device's certificate",
      () => ownProof({ ...pki.clientTls, privateKey: foreign.clientTls.privateKey }),
      'CERTIFICATE_INVALID',
    ],
  ];
  for (const [name, proof, code] of refusals) {
    it(`${name} gets the reason and no service`, async () => {
      const own = proof();
      const { proof: _, ...without } = { proof: own };
      const connection = await dialChannel({
        url: new URL(`ws://127.0.0.1:${listener.port}/channel`),
        purpose: 'node',
        judge: judgeOf(pki),
        ...without,
        ...(own && { proof: own }),
      });
      assert.equal((await within('the refusal', connection.closed))?.code, code);
      assert.equal(admitted, 0);
    });
  }
});

describe('peers that waste shared resources', () => {
  const limits = { maxHandshakes: 8, maxHandshakesPerSource: 4, handshakeTimeoutMs: 1_000 };
  const silent = (port: number, address: string) =>
    new WebSocket(`ws://127.0.0.1:${port}/channel`, subprotocolOf('node'), {
      origin: deviceOrigin,
      headers: { 'x-forwarded-for': address },
    });
  const outcome = (socket: WebSocket) =>
    new Promise<string>((resolve) => {
      socket.on('error', (error) => resolve(error.message));
      socket.on('open', () => resolve('open'));
    });

  it('with unfinished handshakes hold few places for a short time', async () => {
    const { port } = await start({ limits, proxies: ['127.0.0.1'] });
    const sockets = Array.from({ length: 6 }, () => silent(port, '192.0.2.1'));
    const outcomes = await Promise.all(sockets.map(outcome));
    assert.equal(outcomes.filter((each) => each === 'open').length, 4);
    assert.equal(outcomes.filter((each) => each.endsWith('503')).length, 2);
    // Another source has its own places.
    const other = silent(port, '192.0.2.2');
    assert.equal(await outcome(other), 'open');
    // Only the hop that the proxy added counts. Anybody may have written the earlier hops.
    assert.match(await outcome(silent(port, '192.0.2.9, 192.0.2.1')), /503/);
    await Promise.all(
      [...sockets, other].map(
        (each) => each.readyState === each.CLOSED || within('the cut', once(each, 'close')),
      ),
    );
    assert.equal(await ask(await dial(port), 'x'), 'x');
  });

  it('with silent connections are disconnected', async () => {
    const { port } = await start({ limits });
    const sockets = Array.from({ length: 4 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
    await within('the cut', Promise.all(sockets.map((each) => once(each.resume(), 'close'))));
  });

  it('with bytes that form no handshake are disconnected', async () => {
    const { port } = await start({ limits: { handshakeTimeoutMs: 1_000 } });
    const garbage: (Buffer | string)[] = [
      'text',
      Buffer.alloc(0),
      Buffer.alloc(31),
      Buffer.alloc(32),
      Buffer.alloc(33),
      Buffer.alloc(65_535),
      Buffer.alloc(70_000),
    ];
    for (const bytes of garbage) {
      const socket = silent(port, '');
      await once(socket, 'open');
      socket.send(bytes);
      if (bytes.length === 32 && typeof bytes !== 'string') socket.send(Buffer.alloc(300));
      await within('the close', once(socket, 'close'));
    }
    assert.equal(await ask(await dial(port), 'x'), 'x');
  });
});

describe('a device that breaks the protocol', () => {
  let listener: WebSocketListener;
  before(async () => {
    listener = await start({
      limits: { maxStreams: 4 },
      floods: { idleMessages: 50, resetBurst: 10, resetRate: 1 },
      serve: () => {},
    });
  });

  const data = (stream: number, size = 1) =>
    encodeFrame({ type: 'data', stream, bytes: new Uint8Array(size) });
  const end = (stream: number) => encodeFrame({ type: 'end', stream });
  const reset = (stream: number) => encodeFrame({ type: 'reset', stream, number: 1 });
  const ping = encodeFrame({ type: 'ping', value: 0 });
  const bytes = (...values: number[]) => Uint8Array.from(values);
  const many = (count: number, of: (n: number) => Uint8Array[]) =>
    Array.from({ length: count }, (_, n) => of(n + 1)).flat();

  const attacks: [name: string, messages: Uint8Array[], number: number][] = [
    ['an unknown frame', [bytes(0x07, 0)], 0x101],
    ['a truncated frame', [bytes(0x01, 1, 5, 1)], 0x101],
    ['a frame without its number', [bytes(0x01)], 0x101],
    ['a number of eight bytes', [bytes(0x02, 0xc0, 0, 0, 0, 0, 0, 0, 1)], 0x101],
    ['data without bytes', [bytes(0x01, 1, 0)], 0x101],
    ['more data than a frame may have', [bytes(0x01, 1, 0x80, 0, 0x40, 1)], 0x101],
    ['a stream that is not the next', [data(2)], 0x101],
    ['a stream 0', [data(0), data(1), end(1), end(1)], 0x101],
    ['more streams than allowed', [1, 2, 3, 4, 5].map((n) => data(n)), 0x101],
    ['data after its end', [data(1), end(1), data(1)], 0x101],
    ['two ends', [data(1), end(1), end(1)], 0x101],
    ['a reset of a stream that does not exist', [reset(1)], 0x101],
    ['endless PINGs', many(60, () => [ping]), 0x301],
    ['messages without a frame', many(60, () => [bytes()]), 0x301],
    ['endless abandoned calls', many(20, (n) => [data(n), reset(n)]), 0x301],
  ];
  for (const [name, messages, number] of attacks) {
    it(`by ${name} gets the reason and is disconnected`, async () => {
      const channel = await raw();
      for (const message of messages) await channel.send(message);
      const goaway = await within('GOAWAY', last(channel, 'goaway'));
      assert.equal(goaway?.type === 'goaway' && goaway.number, number);
      if (channel.socket.readyState !== channel.socket.CLOSED)
        await within('the close', once(channel.socket, 'close'));
    });
  }

  it('by causing calls that the daemon has to abandon gets the reason and is disconnected', async () => {
    const { port } = await start({
      floods: { resetBurst: 10, resetRate: 1 },
      serve: serveCalls({ routes: () => {} }),
    });
    const broken = (n: number) => [data(n), end(n)];
    const unknown = (n: number) => [encodeFrame({ type: 'data', stream: n, bytes: bytes(0x3f, 1, 1) })];
    for (const call of [broken, unknown]) {
      const channel = await raw(port);
      for (let n = 1; n <= 20; n++) for (const frame of call(n)) await channel.send(frame);
      const goaway = await within('GOAWAY', last(channel, 'goaway'));
      assert.equal(goaway?.type === 'goaway' && goaway.number, 0x301);
    }
  });

  it('by sending data that nobody reads loses that stream', async () => {
    const channel = await raw();
    for (let sent = 0; sent <= 1_200_000; sent += 16_000) await channel.send(data(1, 16_000));
    const answer = await within('RESET', last(channel, 'reset'));
    assert.ok(answer?.type === 'reset' && [0x102, 0x303].includes(answer.number));
    await channel.send(ping);
    assert.equal((await channel.next())?.type, 'pong');
    channel.socket.terminate();
  });

  it('by not reading is disconnected after it has been silent for too long', async () => {
    const slow = await start({
      limits: { idleTimeoutMs: 500 },
      serve: async (stream) => {
        const more = (): Promise<void> => stream.write(new Uint8Array(60_000)).then(more);
        await more().catch(() => {});
      },
    });
    const channel = await raw(slow.port);
    channel.socket.pause();
    await channel.send(data(1));
    await until('the connection', () => slow.connectionCount === 1);
    await until('the end of the connection', () => slow.connectionCount === 0);
    channel.socket.terminate();
  });

  async function raw(port = listener.port): Promise<RawChannel> {
    const channel = await rawChannel(port, { proof: ownProof(pki.clientTls), judge: judgeOf(pki) });
    channel.socket.on('error', () => {});
    return channel;
  }
});

async function last(channel: RawChannel, type: string) {
  for (;;) {
    const frame = await channel.next();
    if (!frame || frame.type === type) return frame;
  }
}

describe('a channel of a daemon', () => {
  it('has a binding that both sides share and no other channel has', async () => {
    const bindings: string[] = [];
    const listener = await start({
      purposes: ['node', 'pair'],
      admit: async ({ channelBinding, purpose, peerChain }) => {
        bindings.push(Buffer.from(channelBinding).toString('hex'));
        assert.equal(peerChain.length, purpose === 'pair' ? 0 : 2);
      },
    });
    const pairing = await dialChannel({
      url: new URL(`ws://127.0.0.1:${listener.port}/channel`),
      purpose: 'pair',
      judge: () => undefined,
    });
    const node = await dial(listener.port);
    const own = [pairing, node].map(({ channelBinding }) => Buffer.from(channelBinding).toString('hex'));
    for (const each of [pairing, node]) assert.equal(await ask(each, 'x'), 'x');
    assert.deepEqual(bindings, own);
    assert.notEqual(own[0], own[1]);
  });

  it('uses the current certificate, and stays open when the certificate is replaced', async () => {
    const listener = await start();
    const before = await dial(listener.port);
    const next = await createPki();
    listener.swap(next.serverTls);
    await rejectsWith(dial(listener.port), 'DAEMON_NOT_AUTHENTICATED');
    const later = await dial(listener.port, { judge: judgeOf(next), proof: ownProof(next.clientTls) });
    assert.equal(await ask(later, 'x'), 'x');
    assert.equal(await ask(before, 'y'), 'y');
  });
});
