// Plain HTTP/1.1, for the listeners that are not gRPC: console, publish and metrics. Their connections have the same owner as
// those of every other listener.

import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type ConnectionLimits, connectionOf, LiveConnections, tcpKeepAlive } from '@palyra/rpc/transport';

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
/**
 * Requests of one connection that wait for their answers. Node reads on and on while it has none to write, so a few kilobytes of
 * them would take as much memory as all their answers. A client sends the next one when it has read the answer, which may be a
 * moment before it has ended here.
 */
const maxUnanswered = 2;

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
  const unanswered = new WeakMap<Socket, number>();
  server.on('request', (request, response) => {
    const { socket } = request;
    const others = unanswered.get(socket) ?? 0;
    if (others >= maxUnanswered) {
      socket.destroy();
      return;
    }
    unanswered.set(socket, others + 1);
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    const ended = connectionOf(socket)?.begins(() => request.complete && !response.writableEnded);
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
