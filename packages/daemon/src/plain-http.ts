// Plain HTTP/1.1, for the listeners that are not gRPC: console, publish and metrics. Their connections have the same owner as
// those of every other listener.

import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ConnectionLimits, connectionOf, LiveConnections, tcpKeepAlive } from '@palyra/rpc';

export interface PlainHttp {
  readonly port: number;
  /** Ends what runs, at once. */
  close(): Promise<void>;
}

const maxHeaderBytes = 8 * 1024;
/** For the headers of a request, and for a connection without a request, ms. */
const idleMs = 10_000;
/** For a request with its body, ms. */
const requestTimeoutMs = 30_000;
/** For a peer to take an answer, from its end in the daemon on, ms. */
const answerMs = 60_000;
const sweepMs = 1_000;

export async function listenPlainHttp(
  at: { readonly host: string; readonly port: number },
  limits: Pick<ConnectionLimits, 'connections' | 'strangersPerSource'>,
  serve: (request: http.IncomingMessage, response: http.ServerResponse) => void,
): Promise<PlainHttp> {
  const server = http.createServer({
    ...tcpKeepAlive,
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: idleMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: sweepMs,
  });
  const connections = new LiveConnections(server, {
    ...limits,
    // For answers that are not taken; for all else Node's own times are shorter.
    strangerIdleMs: answerMs,
    idleTimeoutMs: answerMs,
  });
  server.on('request', (request, response) => {
    const ended = connectionOf(request.socket)?.begins(() => request.complete && !response.writableEnded);
    response.once('close', () => ended?.(request.complete));
    serve(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => connections.close(AbortSignal.abort()),
  };
}
