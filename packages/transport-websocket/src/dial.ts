// Opens the device's end of a channel in Node.

import { Agent } from 'node:https';
import {
  type ChannelPurpose,
  type DeviceChannel,
  type JudgePeer,
  type OwnProof,
  openChannel,
  subprotocolOf,
} from '@palyra/channel';
import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import { resolveStreamLimits } from '@palyra/rpc/portable';
import type { StreamDialOptions } from '@palyra/rpc/transport';
import { WebSocket } from 'ws';
import { nodeCrypto } from './node-crypto.ts';
import { type ProxyOptions, proxyFor } from './proxy.ts';
import { deviceOrigin } from './upgrade.ts';
import { WsSocket, webSocketOptions } from './ws-socket.ts';

export interface DialChannelOptions
  extends Pick<StreamDialOptions, 'limits' | 'keepAliveMs' | 'signal'>,
    ProxyOptions {
  /** `ws:` or `wss:`. */
  readonly url: URL;
  /** The purpose of the channel. */
  readonly purpose: ChannelPurpose;
  /** This device's certificates and key. Absent for `pair`. */
  readonly proof?: OwnProof;
  /** Judges the daemon. */
  readonly judge: JudgePeer;
}

/** @throws DAEMON_NOT_AUTHENTICATED, VERSION_UNSUPPORTED, CLOCK_SKEW, UNREACHABLE */
export async function dialChannel(options: DialChannelOptions): Promise<DeviceChannel> {
  const { url, signal } = options;
  const proxy = proxyFor(url, options);
  const limits = resolveStreamLimits(options.limits);
  const socket = new WebSocket(url, subprotocolOf(options.purpose), {
    ...webSocketOptions,
    origin: deviceOrigin,
    // Ends the connection to a proxy that does not open the tunnel. `opened` knows nothing of that connection.
    handshakeTimeout: limits.handshakeTimeoutMs,
    followRedirects: false,
    // The TLS peer is not trusted. The handshake of the channel authenticates the daemon.
    rejectUnauthorized: false,
    ...(proxy && { agent: new Agent({ proxyEnv: { HTTPS_PROXY: proxy } }) }),
  });
  await opened(socket, { url, proxy, timeoutMs: limits.handshakeTimeoutMs, signal });
  return openChannel(new WsSocket(socket), {
    ...options,
    crypto: nodeCrypto,
    remoteAddress: url.hostname,
    remotePort: Number(url.port) || (url.protocol === 'wss:' ? 443 : 80),
  });
}

interface Opening {
  readonly url: URL;
  readonly proxy: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

function opened(socket: WebSocket, { url, proxy, timeoutMs, signal }: Opening): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => {
    socket.terminate();
    reject(signal?.reason);
  };
  const timer = setTimeout(() => {
    socket.terminate();
    reject(unreachable(new Error(`no answer within ${timeoutMs} ms`), url, proxy));
  }, timeoutMs);
  signal?.addEventListener('abort', abort);
  socket.once('open', resolve);
  socket.on('error', (cause) => reject(unreachable(cause, url, proxy)));
  socket.once('unexpected-response', (_, response) => {
    socket.terminate();
    reject(refused(response.statusCode ?? 0, url));
  });
  if (signal?.aborted) abort();
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  });
}

function refused(status: number, url: URL): IdentityError {
  if (status === 400)
    return new IdentityError(
      'VERSION_UNSUPPORTED',
      `The server at ${url.host} does not speak this protocol.`,
    );
  const hint = status === 403 || status === 404 ? 'Check the address and its path.' : 'Try again later.';
  return new IdentityError(
    'UNREACHABLE',
    `No channel can be opened at ${url.href}: the server answered with HTTP ${status}. ${hint}`,
  );
}

function unreachable(cause: Error, url: URL, proxy: string | undefined): IdentityError {
  if (cause.message.includes('subprotocol'))
    return new IdentityError(
      'VERSION_UNSUPPORTED',
      `The server at ${url.host} does not speak this protocol.`,
      {
        cause,
      },
    );
  const through = proxy ? ` through the proxy ${new URL(proxy).host}` : '';
  return new IdentityError(
    'UNREACHABLE',
    `No daemon answers at ${url.href}${through}. Check the address and that it runs. (${reasonOf(cause)})`,
    { cause },
  );
}
