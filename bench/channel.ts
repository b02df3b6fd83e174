// channel.*: what the services cost over channels of WebSockets, beside bare WebSockets that carry as many bytes.

import { once } from 'node:events';
import { dialNode } from '@palyra/rpc';
import { createWebSocketTransport, dialNodeWeb } from '@palyra/transport-websocket';
import { WebSocket } from 'ws';
import { BenchDaemon } from './daemon-process.ts';
import { type Figures, interleave, median, type Progress, ratio } from './measure.ts';
import {
  connections,
  idleKib,
  many,
  measureCalls,
  memory,
  portOf,
  request,
  shareOfBare,
  streamCall,
  tlsOf,
} from './transports.ts';

/** Of a message of the channel: the head of its frame, END, and the tag. */
const overheadBytes = 4 + 2 + 16;

export async function overChannel(progress: Progress): Promise<Figures> {
  const daemon = await BenchDaemon.start(1);
  const { enrollment } = daemon.ready.devices[0]!;
  const transport = createWebSocketTransport();
  progress('calls over channels against bare WebSockets');
  const port = portOf(new URL(enrollment.webAddress!).host);
  const dial = () => transport.dial({ host: '127.0.0.1', port, tls: tlsOf(enrollment) });
  const node = await Promise.all(Array.from({ length: connections }, dial));
  const bare = await Promise.all(
    Array.from({ length: connections }, () => bareAt(daemon.ready.bare.webSocket)),
  );
  const reply = await streamCall(node[0]!);
  await daemon.ask({ webSocketReply: new Uint8Array(reply.length + overheadBytes) });
  const asked = new Uint8Array(request.length + overheadBytes);
  const calls = await measureCalls(daemon, {
    node: () => many(node, streamCall),
    bare: () => many(bare, (one) => one(asked)),
  });
  for (const connection of node) connection.close();

  progress('handshakes of channels against those of HTTP/2');
  const handshakes = await interleave(
    {
      channel: async () => {
        const connection = await dial();
        // Over with the first answer: the daemon has asked its registry by then.
        await streamCall(connection);
        connection.close();
      },
      http2: async () => (await dialNode(enrollment.nodeAddress, enrollment)).destroy(),
    },
    { rounds: 100, warmUp: 20 },
  );
  await daemon.stop();

  progress('idle channels in memory');
  const kib = await idleKib(({ enrollment: known }) => dialNodeWeb(known));
  return {
    'channel.share_of_bare': shareOfBare(calls, 'channels', 0.25),
    'channel.idle_connection_kib': memory(kib, 'channel'),
    'channel.handshake_ratio_to_http2': {
      ...ratio(handshakes.channel, handshakes.http2),
      unit: 'ratio',
      meaning: 'A channel to its first answer over an HTTP/2 connection with mutual TLS.',
      parts: { channel_ms: median(handshakes.channel), http2_ms: median(handshakes.http2) },
    },
  };
}

/** @returns asks, and settles with the answer. */
async function bareAt(port: number): Promise<(message: Uint8Array) => Promise<void>> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
  await once(socket, 'open');
  const waiting: (() => void)[] = [];
  socket.on('message', () => waiting.shift()?.());
  return (message) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      socket.send(message);
    });
}
