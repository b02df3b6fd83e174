// The admin socket: HTTP/2 without TLS, in a folder that only the daemon's own user can enter.

import { chmod, rm } from 'node:fs/promises';
import http2 from 'node:http2';
import type { ConnectRouter } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import {
  accessCheck,
  type CallObserver,
  connectionOf,
  contextOf,
  defaultHttp2Limits,
  LiveConnections,
  observed,
  serveHttp2,
} from '@palyra/rpc/transport';

export interface AdminListener {
  /** Lets running calls end, and cuts the rest when `until` is aborted. */
  close(until: AbortSignal): Promise<void>;
}

/** The limit of sockaddr_un on Linux and macOS, including its NUL. */
const maxSocketPathBytes = process.platform === 'darwin' ? 103 : 107;
const maxConnections = 1_000;

/** @throws STORE_FAILED if the path is too long for a socket. */
export function mustFit(path: string): void {
  if (process.platform === 'win32' || Buffer.byteLength(path) <= maxSocketPathBytes) return;
  throw new IdentityError(
    'STORE_FAILED',
    `The path of the admin socket is longer than the system allows (${maxSocketPathBytes} bytes): ${path}. The home must have a shorter path.`,
    { about: 'home' },
  );
}

/** @param path is removed first, because the holder of the home's lock owns the socket. */
export async function listenAdmin(
  path: string,
  routes: (router: ConnectRouter) => void,
  onInternal: (error: unknown, method: string) => void,
  observe?: CallObserver,
): Promise<AdminListener> {
  mustFit(path);
  await rm(path, { force: true });
  const server = http2.createServer();
  serveHttp2(server, {
    routes,
    check: observed(accessCheck(onInternal), observe),
    readMaxBytes: defaultHttp2Limits.messageBytes,
    onError: onInternal,
    contextValues: () => contextOf({ caller: 'operator', at: 'admin socket' }),
  });
  const connections = new LiveConnections(server, {
    ...defaultHttp2Limits,
    connections: maxConnections,
    strangersPerSource: maxConnections,
  });
  server.on('session', (session) => {
    const connection = connectionOf(session.socket);
    if (connection) connections.known(connection);
    else session.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return { close: (until) => connections.close(until) };
}
