// The process of daemon-process.ts.

import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { type ConnectRouter, createConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { startDaemon } from '@palyra/daemon';
import { certificatesToPem, type PairedEnrollment } from '@palyra/identity';
import { NodeService } from '@palyra/rpc';
import { loadLibrary, withScratchFolder } from '../packages/transport-quic/src/quiche/library.ts';
import { alpn } from '../packages/transport-quic/src/quiche/runtime.ts';
import { newDevice, pair } from './pair.ts';

export interface PairedDevice {
  readonly id: string;
  readonly enrollment: PairedEnrollment;
}

export interface DaemonReady {
  readonly devices: readonly PairedDevice[];
  readonly bare: {
    readonly http2: number;
    readonly quic: number;
    /** Connect on Node's HTTP/2, without checks. */
    readonly connect: number;
  };
}

export type DaemonQuestion =
  | 'memory'
  /** Processor time of the process so far, ms. */
  | 'cpu'
  /** What the bare QUIC server answers from now on. */
  | { readonly quicReply: Uint8Array }
  /** Calls of Connect's handler, without a network: answered with the time they took, ms. */
  | { readonly handlerCalls: number }
  /** When the daemon had closed the connections of a device that was revoked, ms since 1970. */
  | { readonly closedDevice: string };

const [home = '', count = '1', host = ''] = process.argv.slice(2);
const here = { host, port: 0 };
const closedAt = new Map<string, number>();
let quicReply: Uint8Array = new Uint8Array();

const daemon = await startDaemon({
  home,
  config: {
    pairing: here,
    node: here,
    quic: { host },
    console: { enabled: false },
    metrics: { port: 0 },
    limits: { quicConnections: 2_000 },
  },
  // Heard after the listeners have heard it.
  onEvent: (event) => {
    if (event.type === 'device_revoked')
      closedAt.set(event.deviceId, performance.timeOrigin + performance.now());
  },
  onError: (error, where) => console.error(where, error),
});
const addressOf = (wanted: string) => daemon.listeners.find(({ name }) => name === wanted)!.address;

async function enroll(): Promise<PairedDevice> {
  const device = await newDevice();
  const enrollment = await pair(daemon.identity, device);
  const addresses = { nodeAddress: addressOf('node'), quicAddress: addressOf('quic') };
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
  const message = Buffer.alloc(5 + 150);
  message.writeUInt32BE(150, 1);
  const server = http2.createSecureServer({ ...pem, requestCert: true, minVersion: 'TLSv1.3' });
  server.on('stream', (stream) => {
    stream.resume();
    stream.once('end', () => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-accept-encoding': 'identity' },
        { waitForTrailers: true },
      );
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(message);
    });
    stream.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** Of the size that the daemon's answer has. */
const routes = (router: ConnectRouter) => {
  router.service(NodeService, {
    status: () => ({
      daemonId: daemon.daemonId,
      daemonTimeMs: BigInt(Date.now()),
      deviceName: 'x'.repeat(100),
    }),
  });
};
const messageLimits = { readMaxBytes: 1_048_576, writeMaxBytes: 1_048_576 };

async function bareConnect(): Promise<number> {
  const server = http2.createSecureServer(
    { ...pem, requestCert: true, minVersion: 'TLSv1.3' },
    connectNodeAdapter({ routes, ...messageLimits, acceptCompression: [] }),
  );
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

const router = createConnectRouter({ ...messageLimits, grpc: true, grpcWeb: false, connect: false });
routes(router);
const handler = router.handlers.find(({ method }) => method.name === 'Status')!;

async function callHandler(): Promise<void> {
  const abort = new AbortController();
  const response = await handler({
    httpVersion: '2.0',
    method: 'POST',
    url: `https://quic.invalid${handler.requestPath}`,
    header: new Headers({ 'content-type': 'application/grpc+proto' }),
    body: (async function* () {
      yield new Uint8Array(5);
    })(),
    signal: abort.signal,
  });
  for await (const _ of response.body ?? []);
  abort.abort();
}

async function callsOfHandler(count: number): Promise<number> {
  const started = performance.now();
  for (let done = 0; done < count; done += 64) await Promise.all(Array.from({ length: 64 }, callHandler));
  return performance.now() - started;
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
      // The request comes in one piece, and its caller ends the stream when it has the answer.
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

async function answer(question: DaemonQuestion): Promise<number> {
  if (typeof question === 'object') {
    if ('closedDevice' in question) return closedAt.get(question.closedDevice) ?? Number.NaN;
    if ('handlerCalls' in question) return callsOfHandler(question.handlerCalls);
    quicReply = question.quicReply;
    return 0;
  }
  if (question === 'cpu') {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
  // What was freed is given back before it is counted.
  for (let round = 0; round < 5; round += 1) {
    globalThis.gc?.();
    await setTimeout(50);
  }
  return process.memoryUsage().rss;
}

const devices: PairedDevice[] = [];
while (devices.length < Number(count)) devices.push(await enroll());
const bare = { http2: await bareHttp2(), quic: await bareQuic(), connect: await bareConnect() };
const ready: DaemonReady = { devices, bare };
process.on('disconnect', () => process.exit());
process.on('message', async (question: DaemonQuestion) => process.send?.(await answer(question)));
process.send?.(ready);
