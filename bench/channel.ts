// channel.*: what the services cost over channels of WebSockets, beside bare WebSockets that carry as many bytes.

import { once } from 'node:events';
import { createClient } from '@connectrpc/connect';
import { dialNode, NodeService } from '@palyra/rpc';
import { createWebSocketTransport, dialNodeWeb } from '@palyra/transport-websocket';
import { WebSocket } from 'ws';
import { BenchDaemon } from './daemon-process.ts';
import { type Figures, interleave, median, type Progress, quantile, ratio } from './measure.ts';
import { revokeAll } from './revocations.ts';
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

/** Handshakes in one round, and at one time. One device may have 16 connections on a listener. */
const perRound = 32;
const lanes = 8;
const devices = 500;

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
  const handshakes = await measureHandshakes(daemon, {
    channel: async () => {
      const connection = await dial();
      // Ends with the first answer: by then, the daemon has read its registry.
      await streamCall(connection);
      connection.close();
    },
    http2: async () => {
      const connection = await dialNode(enrollment.nodeAddress, enrollment);
      await createClient(NodeService, connection.transport).status({});
      connection.destroy();
    },
  });
  await daemon.stop();

  progress('idle channels in memory');
  const kib = await idleKib(({ enrollment: known }) => dialNodeWeb(known));
  progress(`revocation of ${devices} devices on channels, one after another`);
  const revocations = await revokeAll(devices, [(known) => dialNodeWeb(known)]);
  const revoked = revocations.times.get('websocket') ?? [];
  return {
    'channel.share_of_bare': shareOfBare(calls, 'channels', 0.25),
    'channel.idle_connection_kib': memory(kib, 'channel'),
    'channel.handshake_share_of_http2': {
      ...ratio(handshakes.http2.ms, handshakes.channel.ms),
      unit: 'ratio',
      meaning:
        'Channels to their first answer per second, over HTTP/2 connections with mutual TLS. One client process, ' +
        `${lanes} at a time.`,
      parts: {
        channel_per_second: perSecond(handshakes.channel.ms),
        http2_per_second: perSecond(handshakes.http2.ms),
        channel_processor_us: handshakes.channel.processorUs,
        http2_processor_us: handshakes.http2.processorUs,
      },
    },
    'channel.revoke_to_closed_ms_p99': {
      value: quantile(revoked, 0.99),
      target: { atMost: 50 },
      unit: 'ms',
      meaning:
        `From the operator's call to the end of the device's channel, as the device sees it: ${devices} devices, revoked ` +
        'one after another while all of them call.',
      parts: {
        p50: quantile(revoked, 0.5),
        slowest: quantile(revoked, 1),
        daemon_closed_p99: quantile(revocations.onDaemon, 0.99),
        operators_answer_p99: quantile(revocations.answers, 0.99),
        client_late_p99: revocations.clientLateMs,
        accepted_after_commit: revocations.slipped,
      },
    },
  };
}

/** Rounds of handshakes, several at a time, and the daemon's processor time for one. */
async function measureHandshakes(
  daemon: BenchDaemon,
  handshakes: Readonly<Record<'channel' | 'http2', () => Promise<void>>>,
) {
  const cpu = { channel: [] as number[], http2: [] as number[] };
  const round = (name: 'channel' | 'http2') => async () => {
    const before = await daemon.ask('cpu');
    const started = performance.now();
    let left = perRound;
    const lane = async () => {
      while (left-- > 0) await handshakes[name]();
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    const ms = performance.now() - started;
    cpu[name].push((await daemon.ask('cpu')) - before);
    return ms;
  };
  const rounds = 20;
  const times = await interleave({ channel: round('channel'), http2: round('http2') }, { rounds, warmUp: 3 });
  const cost = (name: 'channel' | 'http2') => ({
    ms: times[name],
    processorUs: (median(cpu[name].slice(-rounds)) * 1000) / perRound,
  });
  return { channel: cost('channel'), http2: cost('http2') };
}

const perSecond = (ms: readonly number[]) => (perRound * 1000) / median(ms);

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
