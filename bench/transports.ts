// http2.*, quic.*: the cost of the services on each transport compared with the bare library that sends the same bytes,
// and the cost of an idle connection.

import http2 from 'node:http2';
import consumers from 'node:stream/consumers';
import { createClient } from '@connectrpc/connect';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import type { ClientConnection } from '@palyra/rpc/portable';
import type { ClientTlsConfig } from '@palyra/rpc/transport';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { encodeFrame } from '../packages/rpc/src/calls/frame.ts';
import { BenchDaemon } from './daemon-process.ts';
import type { PairedDevice } from './daemon-server.ts';
import { type Figure, type Figures, interleave, median, type Progress, ratio, type Work } from './measure.ts';

const path = `/${NodeService.typeName}/Status`;
const calls = 2048;
const inFlight = 64;
/** More calls than one device may have on one connection, so that several connections are needed. */
export const connections = 2;
const idle = 1_000;
/** Below the limit of one device on one listener. */
const perDevice = 10;

export async function overHttp2(progress: Progress): Promise<Figures> {
  const daemon = await BenchDaemon.start(1);
  const { enrollment } = daemon.ready.devices[0]!;
  progress('calls over HTTP/2 against a bare HTTP/2 server');
  const { certificateChain, privateKey, pinnedRoot, trustDomain } = tlsOf(enrollment);
  const dial = (port: number) =>
    http2.connect(`https://127.0.0.1:${port}`, {
      ca: pinnedRoot,
      cert: certificateChain,
      key: privateKey,
      servername: trustDomain,
    });
  const sessions = (port: number) => Array.from({ length: connections }, () => dial(port));
  const [node, bare] = [sessions(portOf(enrollment.nodeAddress)), sessions(daemon.ready.bare.http2)];
  await daemon.ask({ http2Message: await consumers.buffer(http2Request(node[0]!)) });
  const calls = await measureCalls(daemon, {
    node: () => many(node, http2Call),
    bare: () => many(bare, http2Call),
  });
  for (const session of [...node, ...bare]) session.destroy();
  await daemon.stop();

  progress('idle HTTP/2 connections in memory');
  const kib = await idleKib(({ enrollment: known }) => dialNode(known.nodeAddress, known));
  return {
    'http2.share_of_bare': shareOfBare(calls, 'HTTP/2', 0.95),
    'http2.idle_connection_kib': memory(kib, 'HTTP/2 session'),
  };
}

export async function overQuic(progress: Progress): Promise<Figures> {
  const daemon = await BenchDaemon.start(1);
  const { enrollment } = daemon.ready.devices[0]!;
  const quic = createQuic();
  progress('calls over QUIC against a bare QUIC server');
  const dial = (port: number) => quic.dial({ host: '127.0.0.1', port, tls: tlsOf(enrollment) });
  const [nodePort, barePort] = [portOf(enrollment.quicAddress!), daemon.ready.bare.quic];
  const dials = (port: number) => Promise.all(Array.from({ length: connections }, () => dial(port)));
  const [node, bare] = [await dials(nodePort), await dials(barePort)];
  await daemon.ask({ quicReply: await streamCall(node[0]!) });
  const calls = await measureCalls(daemon, {
    node: () => many(node, streamCall),
    bare: () => many(bare, streamCall),
  });
  for (const connection of [...node, ...bare]) connection.close();

  progress('QUIC handshakes against a bare QUIC server');
  const handshake = (port: number) => async () => {
    const connection = await dial(port);
    // Ends with the first answer: by then, the daemon has read its registry.
    await streamCall(connection);
    connection.close();
  };
  const handshakes = await interleave(
    { node: handshake(nodePort), bare: handshake(barePort) },
    { rounds: 100, warmUp: 20 },
  );

  await daemon.stop();

  progress('idle QUIC connections in memory');
  const kib = await idleKib(({ enrollment: known }) => dialNodeQuic(quic, known));
  return {
    'quic.share_of_bare': shareOfBare(calls, 'QUIC', 0.7),
    'quic.idle_connection_kib': memory(kib, 'QUIC connection'),
    'quic.handshake_ratio_to_bare': {
      ...ratio(handshakes.node, handshakes.bare),
      unit: 'ratio',
      meaning:
        'A QUIC connection to its first answer, registry checks included, over one to a bare server of the library ' +
        'with the same certificates.',
      parts: { node_ms: median(handshakes.node), bare_ms: median(handshakes.bare) },
    },
  };
}

/** Cost of many calls, by round; and processor time of the daemon for one call, which does not depend on the client. */
interface CallCost {
  readonly ms: readonly number[];
  readonly processorUs: number;
}
type CallCosts = Readonly<Record<'node' | 'bare', CallCost>>;

export async function measureCalls(
  daemon: BenchDaemon,
  works: Record<'node' | 'bare', Work>,
): Promise<CallCosts> {
  const rounds = 75;
  const cpu = { node: [] as number[], bare: [] as number[] };
  const counted = (name: 'node' | 'bare') => async () => {
    const before = await daemon.ask('cpu');
    const started = performance.now();
    await works[name]();
    const ms = performance.now() - started;
    cpu[name].push((await daemon.ask('cpu')) - before);
    return ms;
  };
  const times = await interleave({ node: counted('node'), bare: counted('bare') }, { rounds, warmUp: 15 });
  const cost = (name: 'node' | 'bare'): CallCost => ({
    ms: times[name],
    processorUs: (median(cpu[name].slice(-rounds)) * 1000) / calls,
  });
  return { node: cost('node'), bare: cost('bare') };
}

export function shareOfBare({ node, bare }: CallCosts, what: string, atLeast: number): Figure {
  const perSecond = ({ ms }: CallCost) => (calls * 1000) / median(ms);
  const [own, wire] = [node, bare].map(({ processorUs }) => Math.round(processorUs));
  return {
    ...ratio(bare.ms, node.ms),
    target: { atLeast },
    unit: 'ratio',
    meaning:
      `Calls of NodeService.Status per second on ${what}, over a bare server of the library that answers with the same ` +
      `bytes and does nothing else. One client process, ${inFlight} calls in flight on ${connections} connections.`,
    parts: {
      node_per_second: perSecond(node),
      bare_per_second: perSecond(bare),
      node_processor_us: node.processorUs,
      bare_processor_us: bare.processorUs,
    },
    whenMissed:
      `of processor time, a call takes the bare server ${wire} us, and ${own} with protobuf, access table, check and ` +
      'handler, and with the framing on QUIC and on channels.',
  };
}

export function memory(kib: number, what: string): Figure {
  return {
    value: kib,
    unit: 'KiB',
    meaning: `What the daemon's process grows by for one idle ${what} of a paired device, with ${idle} of them.`,
    parts: {},
  };
}

export function tlsOf({
  certificateChain,
  tlsKey,
  trustBundle,
  trustDomain,
}: PairedEnrollment): ClientTlsConfig {
  return {
    certificateChain: certificatesToPem(certificateChain),
    privateKey: TlsKey.fromPkcs8(tlsKey).toPem(),
    pinnedRoot: certificatesToPem(trustBundle),
    trustDomain,
  };
}

export const portOf = (address: string) => Number(address.slice(address.lastIndexOf(':') + 1));

export async function many<Over>(
  over: readonly Over[],
  call: (one: Over) => Promise<unknown>,
): Promise<void> {
  let left = calls;
  const lane = async (_: unknown, number: number) => {
    while (left > 0) {
      left -= 1;
      await call(over[number % over.length]!);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

/** An empty gRPC message: not compressed, 0 bytes. */
const emptyMessage = Buffer.alloc(5);

function http2Request(session: http2.ClientHttp2Session): http2.ClientHttp2Stream {
  const headers = { 'content-type': 'application/grpc+proto', te: 'trailers' };
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  stream.end(emptyMessage);
  return stream;
}

function http2Call(session: http2.ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = http2Request(session);
    stream.resume();
    stream.once('error', reject);
    stream.once('end', () => resolve());
  });
}

export const request = Buffer.concat([
  encodeFrame({ type: 'request', path, headers: new Headers({ 'content-type': 'application/grpc+proto' }) }),
  encodeFrame({ type: 'data', bytes: emptyMessage }),
  encodeFrame({ type: 'end' }),
]);

/** @returns the answer's bytes. */
export async function streamCall(connection: ClientConnection): Promise<Uint8Array> {
  const stream = await connection.openStream();
  await stream.write(request);
  const parts: Uint8Array[] = [];
  for (let part = await stream.read(); part; part = await stream.read()) parts.push(part);
  await stream.end();
  const answer = Buffer.concat(parts);
  if (answer.length === 0) throw new Error('a call of this benchmark got no answer');
  return answer;
}

/** Measures in a fresh daemon, because memory freed earlier would hide the increase. */
export async function idleKib(dial: (device: PairedDevice) => Promise<NodeConnection>): Promise<number> {
  const daemon = await BenchDaemon.start(idle / perDevice + 2);
  const { devices } = daemon.ready;
  const admitted = async (device: PairedDevice) => {
    const connection = await dial(device);
    await createClient(NodeService, connection.transport).status({});
    return connection;
  };
  const open = async (some: readonly PairedDevice[]) => {
    const held: NodeConnection[] = [];
    for (const device of some) {
      for (let count = 0; count < perDevice; count += 10)
        held.push(...(await Promise.all(Array.from({ length: 10 }, () => admitted(device)))));
    }
    return held;
  };
  const close = async (held: readonly NodeConnection[]) => {
    for (const each of held) each.close();
    await Promise.all(held.map(({ closed }) => closed));
  };
  // One-time costs of the first connections do not count.
  await close(await open(devices.slice(-2)));
  const before = await daemon.ask('memory');
  const held = await open(devices.slice(0, -2));
  const kib = ((await daemon.ask('memory')) - before) / held.length / 1024;
  await close(held);
  await daemon.stop();
  return kib;
}
