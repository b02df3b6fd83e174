// Floods of every kind against a daemon in a separate process. Meanwhile a paired device calls over both transports,
// on existing and new connections; the daemon's memory stays bounded; and its metrics count the events.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import net from 'node:net';
import test from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createClient } from '@connectrpc/connect';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import { dialNodeQuic } from '@palyra/transport-quic';
import {
  pause,
  quic,
  sharedTarget,
  strangersPerSource,
  Target,
  underAttack,
} from '../testing/attacked-daemon.ts';
import { bareSocket, credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import {
  closed,
  endHeaders,
  endStream,
  frame,
  headerBlock,
  headerBomb,
  pour,
  preface,
} from '../testing/http2-frames.ts';
import { longestWaitMs, until } from '../testing/until.ts';

/** Addresses of this machine other than the good device's. They exist only on Linux unless somebody adds them. */
const hostile = process.platform === 'linux' ? '127.0.0.66' : undefined;
const skip = hostile ? false : 'needs the addresses of 127.0.0.0/8';

const shared = sharedTarget();
/** For floods that on a busy machine may take longer than strangers may otherwise stay. */
const patient = sharedTarget({ strangerIdleMs: longestWaitMs });

/** TCP connections that send `words` and then nothing. */
function openSockets(address: string, count: number, words: Buffer): net.Socket[] {
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  return Array.from({ length: count }, () => {
    const socket = net.connect({ host: '127.0.0.1', port, localAddress: hostile! });
    socket.on('error', () => {});
    socket.resume();
    if (words.length > 0) socket.write(words);
    return socket;
  });
}

const allClosed = (sockets: readonly net.Socket[]) => Promise.all(sockets.map(closed));

/** The start of a ClientHello: record and handshake headers that announce more bytes than follow. */
const partOfHello = Buffer.from('1603010200010001fc0303', 'hex');

for (const listener of ['node', 'pairing'] as const) {
  for (const [what, words] of [
    ['silent connections', Buffer.alloc(0)],
    ['half-open TLS handshakes', partOfHello],
  ] as const) {
    test(`a flood of ${what} from one source takes no more than its share of the ${listener} listener`, {
      skip,
    }, async (t) => {
      const target = await shared();
      const address = listener === 'node' ? target.daemon.nodeAddress : target.daemon.pairingAddress;
      const events = ['refused_limit', 'tls_error'] as const;
      const before = await target.counts(listener, events);
      await underAttack(t, target, async () => {
        const sockets = openSockets(address, 500, words);
        // Connections over the limit end at once, the others when their time for the handshake is over.
        await allClosed(sockets);
      });
      const after = await target.counts(listener, events);
      const [refused, broken] = [after[0]! - before[0]!, after[1]! - before[1]!];
      // On a slow machine, the first connections end before the last ones arrive.
      assert.ok(refused >= 300, `${refused}`);
      assert.ok(broken >= strangersPerSource, `${broken}`);
    });
  }
}

test('a full listener refuses the next connection, counts it, and recovers', {
  skip,
}, async (t) => {
  const target = await Target.start(t, { strangersPerSource: 1_000, pairingConnections: 30 });
  await underAttack(t, target, async () => {
    const sockets = openSockets(target.daemon.pairingAddress, 200, Buffer.alloc(0));
    await allClosed(sockets);
  });
  assert.ok((await target.count('pairing', 'refused_limit')) >= 170);
  await target.pair();
});

test('one device cannot use up the connections of the others', async (t) => {
  const target = await shared();
  const enrollment = await target.pair();
  await underAttack(t, target, async () => {
    for (const dial of [dialNode.bind(null, enrollment.nodeAddress), dialNodeQuic.bind(null, quic)]) {
      const held: NodeConnection[] = [];
      for (let count = 0; count < 16; count += 1) {
        const connection = await dial(enrollment);
        t.after(() => connection.destroy());
        await createClient(NodeService, connection.transport).status({});
        held.push(connection);
      }
      const more = await dial(enrollment);
      await expectCode(createClient(NodeService, more.transport).status({}), 'TOO_MANY_SESSIONS');
      await more.closed;
      for (const each of held) each.close();
      await Promise.all(held.map(({ closed }) => closed));
      // There is room again as soon as the daemon notices.
      await until('room for another', () => getsIn(dial));
    }
  });

  async function getsIn(dial: (known: PairedEnrollment) => Promise<NodeConnection>): Promise<boolean> {
    const { transport, close } = await dial(enrollment);
    const answered = await createClient(NodeService, transport)
      .status({})
      .then(
        () => true,
        () => false,
      );
    close();
    return answered;
  }
});

/** A bound on frames. Each connection ends long before this bound if the daemon works. */
const most = 100_000;
function* repeat(count: number, make: (index: number) => Buffer): Iterable<Buffer> {
  // In pieces of about one TLS record, like a hostile client.
  let piece: Buffer[] = [];
  for (let index = 0; index < count; index += 1) {
    piece.push(make(index));
    if (piece.length < 200) continue;
    yield Buffer.concat(piece);
    piece = [];
  }
  if (piece.length > 0) yield Buffer.concat(piece);
}

const [usual, bomb] = [headerBlock(), headerBomb()];
const request = (index: number, block = usual, flags = endHeaders | endStream) =>
  frame('HEADERS', { flags, stream: 2 * index + 1, body: block });
const cancel = (index: number) =>
  frame('RST_STREAM', { stream: 2 * index + 1, body: Buffer.from([0, 0, 0, 8]) });
const setting = Buffer.from([0, 4, 0, 1, 0, 0]);

const floods: readonly {
  readonly what: string;
  readonly pieces: () => Iterable<Buffer>;
  /** The pause between the pieces. Slow enough not to reach nghttp2's own limits. */
  readonly pauseMs?: number;
  /** The daemon's counter for this event. */
  readonly counted: readonly string[];
  /** nghttp2 refuses each call before it has expanded the headers, and keeps the connection. */
  readonly stays?: true;
}[] = [
  {
    what: 'rapid resets',
    pieces: () => repeat(most, (index) => Buffer.concat([request(index), cancel(index)])),
    counted: ['protocol_error'],
  },
  {
    what: 'SETTINGS',
    pieces: () => repeat(most, () => frame('SETTINGS', { body: setting })),
    counted: ['protocol_error', 'flood'],
  },
  {
    what: 'SETTINGS that waits for its answers',
    pieces: () => repeat(2_000, () => frame('SETTINGS', { body: setting })),
    pauseMs: 20,
    // Usually our limit. On a busy machine answers pile up, and nghttp2's limit acts first.
    counted: ['flood', 'protocol_error'],
  },
  {
    what: 'PING',
    pieces: () => repeat(most, () => frame('PING', { body: Buffer.alloc(8) })),
    counted: ['protocol_error', 'flood'],
  },
  {
    what: 'PING that waits for its answers',
    pieces: () => repeat(2_000, () => frame('PING', { body: Buffer.alloc(8) })),
    pauseMs: 20,
    // Usually our limit. On a busy machine answers pile up, and nghttp2's limit acts first.
    counted: ['flood', 'protocol_error'],
  },
  {
    what: 'CONTINUATION that never ends',
    *pieces() {
      yield request(0, usual, endStream);
      yield* repeat(most / 10, (index) =>
        frame('CONTINUATION', { stream: 1, body: headerBlock([[`x-${index}`, 'y'.repeat(1000)]]) }),
      );
    },
    counted: ['protocol_error'],
  },
  {
    what: 'headers that unfold to fifty megabytes each',
    pieces: () => repeat(most / 100, (index) => request(index, bomb)),
    counted: [],
    stays: true,
  },
  {
    what: 'more calls than find room',
    pieces: () => repeat(most, (index) => request(index, usual, endHeaders)),
    counted: ['flood'],
  },
];

for (const { what, pieces, pauseMs, counted, stays } of floods) {
  test(`a flood of ${what} ${stays ? 'gets refusals' : 'ends its own connection'} and nothing else`, {
    skip,
  }, async (t) => {
    const target = await patient();
    const countsOfBoth = () =>
      Promise.all(['pairing', 'node'].map(async (listener) => sum(await target.counts(listener, counted))));
    const before = await countsOfBoth();
    const { node, pairing, device } = await hostileConnections(target);
    await underAttack(t, target, async () => {
      for (const open of [pairing, node]) {
        const socket = await open();
        await pour(socket, [preface, frame('SETTINGS')]);
        await pour(socket, pieces(), pauseMs);
        if (stays) socket.destroy();
        await closed(socket);
      }
    });
    const ended = stays ? 0 : 1;
    assert.deepEqual(
      await countsOfBoth(),
      before.map((count) => count + ended),
    );
    // Only the connection was closed. The device itself may reconnect.
    const again = await dialNode(device.nodeAddress, device);
    await createClient(NodeService, again.transport).status({});
    again.close();
  });
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);

/** Connections of strangers to the pairing listener, and of a paired device to the node listener. */
async function hostileConnections(target: Target) {
  const device = await target.pair();
  const options = { rejectUnauthorized: false, localAddress: hostile! };
  return {
    device,
    pairing: (): Promise<TLSSocket> => bareSocket(target.daemon.pairingAddress, options),
    node: (): Promise<TLSSocket> =>
      bareSocket(target.daemon.nodeAddress, { ...options, ...credentialOf(device) }),
  };
}

test('a flood of QUIC Initial packets, valid or not, is ignored', { skip }, async (t) => {
  const target = await shared();
  const enrollment = await target.pair();
  const port = Number(enrollment.quicAddress!.split(':')[1]);
  const before = await target.datagrams();
  await underAttack(t, target, async () => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, hostile!, resolve));
    for (let round = 0; round < 100; round += 1) {
      for (let count = 0; count < 200; count += 1) socket.send(initial(count % 4), port, '127.0.0.1');
      await pause(10);
    }
    socket.close();
  });
  // The kernel drops datagrams that arrive faster than they are read.
  const received = (await target.datagrams()) - before;
  assert.ok(received > 1_000, `the operator sees ${received} datagrams`);
});

/** RFC 9000 17.2.2: a long header that looks like the start of a connection; its protected part is random. */
function initial(kind: number): Buffer {
  const packet = Buffer.from(crypto.getRandomValues(new Uint8Array(1200)));
  packet[0] = kind === 3 ? packet[0]! : 0xc0;
  packet.writeUInt32BE(kind === 2 ? 0x0a0a0a0a : 1, 1);
  packet[5] = 8;
  packet[14] = 8;
  // No token, or an invalid one.
  packet[23] = kind === 1 ? 16 : 0;
  const length = kind === 1 ? 40 : 24;
  packet.writeUInt16BE(0x4000 | (1200 - length - 2), length);
  return packet;
}
