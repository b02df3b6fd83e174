// The process of daemon-process.ts.

import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { type DaemonConfigInput, startDaemon } from '@palyra/daemon';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { WebSocketServer } from 'ws';
import { loadLibrary, withScratchFolder } from '../packages/transport-quic/src/quiche/library.ts';
import { alpn } from '../packages/transport-quic/src/quiche/runtime.ts';
import { newDevice, pair } from './pair.ts';

export interface PairedDevice {
  readonly id: string;
  readonly enrollment: PairedEnrollment;
}

export interface DaemonReady {
  readonly devices: readonly PairedDevice[];
  /** Of each listener, by its name. */
  readonly addresses: Readonly<Record<string, string>>;
  readonly bare: {
    readonly http2: number;
    readonly quic: number;
    readonly webSocket: number;
  };
}

export type DaemonQuestion =
  | 'memory'
  /** Processor time of the process so far, ms. */
  | 'cpu'
  /** What the bare servers answer from now on: on HTTP/2 the message, on the others everything. */
  | { readonly http2Message: Uint8Array }
  | { readonly quicReply: Uint8Array }
  | { readonly webSocketReply: Uint8Array }
  /** When the daemon had closed the connections of a device that was revoked, ms since 1970. */
  | { readonly closedDevice: string };

const [home = '', count = '1', host = '', extra = '{}'] = process.argv.slice(2);
const { limits, ...more } = JSON.parse(extra) as DaemonConfigInput;
const here = { host, port: 0 };
const closedAt = new Map<string, number>();
let http2Message: Uint8Array = new Uint8Array();
let quicReply: Uint8Array = new Uint8Array();
let webSocketReply: Uint8Array = new Uint8Array();

const daemon = await startDaemon({
  home,
  config: {
    pairing: here,
    node: here,
    quic: { host },
    web: { host, port: 0 },
    console: { enabled: false },
    metrics: { port: 0 },
    limits: { quicConnections: 2_000, ...limits },
    ...more,
  },
  // This subscriber runs after the listeners.
  onEvent: (event) => {
    if (event.type === 'device_revoked')
      closedAt.set(event.deviceId, performance.timeOrigin + performance.now());
  },
  onError: (error, where) => console.error(where, error),
});
const addresses = Object.fromEntries(daemon.listeners.map(({ name, address }) => [name, address]));
const addressOf = (wanted: string) => addresses[wanted]!;

async function enroll(): Promise<PairedDevice> {
  const device = await newDevice();
  const enrollment = await pair(daemon.identity, device);
  const addresses = {
    nodeAddress: addressOf('node'),
    quicAddress: addressOf('quic'),
    webAddress: addressOf('web'),
  };
  return { id: device.identity.id, enrollment: { ...enrollment, ...addresses } };
}

const credential = await daemon.identity.issueServerCredential({ dnsNames: [], ipAddresses: [host] });
const pem = {
  key: credential.key.toPem(),
  cert: certificatesToPem(credential.certificateChain),
  ca: certificatesToPem(daemon.identity.trustBundle),
};

/** As an answer of NodeService.Status: headers, one message, trailers. */
async function bareHttp2(): Promise<number> {
  const server = http2.createSecureServer({ ...pem, requestCert: true, minVersion: 'TLSv1.3' });
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.resume();
    stream.once('end', () => {
      const headers = { ':status': 200, 'content-type': 'application/grpc+proto' };
      stream.respond(headers, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(http2Message);
    });
    stream.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

async function bareQuic(): Promise<number> {
  const server = loadLibrary().createQuicServer({
    ...pem,
    clientAuth: 'require',
    alpn: [alpn],
    disableRetry: false,
    runtimeMode: 'portable',
    fallbackPolicy: 'error',
  });
  server.on('session', (session) => {
    session.on('error', () => {});
    session.on('stream', (stream) => {
      stream.on('error', () => {});
      // The request arrives in one piece, and the caller ends the stream after the answer.
      stream.once('data', () => stream.end(quicReply));
      stream.resume();
    });
  });
  const { port } = await withScratchFolder((written) => {
    const listening = server.listen(0, host);
    written();
    return listening;
  });
  return port;
}

async function bareWebSocket(): Promise<number> {
  const server = new WebSocketServer({ host, port: 0, perMessageDeflate: false });
  server.on('connection', (socket) => socket.on('message', () => socket.send(webSocketReply)));
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function answer(question: DaemonQuestion): Promise<number> {
  if (typeof question === 'object') {
    if ('closedDevice' in question) return closedAt.get(question.closedDevice) ?? Number.NaN;
    if ('http2Message' in question) http2Message = question.http2Message;
    else if ('webSocketReply' in question) webSocketReply = question.webSocketReply;
    else quicReply = question.quicReply;
    return 0;
  }
  if (question === 'cpu') {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
  // Returns freed memory to the system before counting.
  for (let round = 0; round < 5; round += 1) {
    globalThis.gc?.();
    await setTimeout(50);
  }
  return process.memoryUsage().rss;
}

const devices: PairedDevice[] = [];
while (devices.length < Number(count)) devices.push(await enroll());
const bare = { http2: await bareHttp2(), quic: await bareQuic(), webSocket: await bareWebSocket() };
const ready: DaemonReady = { devices, addresses, bare };
process.on('disconnect', () => process.exit());
process.on('message', async (question: DaemonQuestion) => process.send?.(await answer(question)));
process.send?.(ready);
