// Plain HTTP/1.1 for the listeners that do not serve gRPC: console, publish and metrics. `LiveConnections` limits their
// connections, as on every other listener.

import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type ConnectionLimits, connectionOf, LiveConnections, tcpKeepAlive } from '@palyra/rpc/transport';

export interface PlainHttp {
  readonly port: number;
  /** Ends running requests at once. */
  close(): Promise<void>;
}

const maxHeaderBytes = 8 * 1024;
/** Time for the headers of a request, and for a connection without a request, ms. */
const idleMs = 10_000;
/** Time for a request with its body, ms. */
const requestTimeoutMs = 30_000;
/** Time for a peer to read an answer, once the daemon has written all of it, ms. */
const answerMs = 60_000;
const sweepMs = 1_000;
/**
 * Unanswered requests of one connection. Node keeps reading requests while it has no answer to write, so a few kilobytes of
 * requests would take as much memory as all their answers. A client sends its next request when it has read the answer, which
 * may be a moment before the answer ends here.
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
    // For answers that the peer does not read. In all other cases, Node's own timeouts are shorter.
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
