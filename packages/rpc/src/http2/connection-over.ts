// HTTP/2 over a socket that a dialer has connected, as the caller's side of a connection.

import http2 from 'node:http2';
import type net from 'node:net';
import type { Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { IdentityError } from '@palyra/identity';
import { printableAnswers } from '../calls/printable-answers.ts';
import { Connection } from '../connections/connection.ts';

export interface Http2Connection {
  /** For Connect's createClient. `fromConnectError` turns the errors of its calls into IdentityErrors. */
  readonly transport: Transport;
  /** TLS exporter of the channel; empty on the admin socket. */
  readonly channelBinding: Uint8Array;
  /** Resolves when either side has ended the connection. HTTP/2 gives no reason. */
  readonly closed: Promise<undefined>;
  /** Ends the connection when the running calls have ended. */
  close(): void;
  /** Ends the connection now. */
  destroy(): void;
}

/** Time to establish a connection. */
export const connectTimeoutMs = 10_000;
/** A URL for Connect and Node, which get a finished connection and never dial this URL. */
const baseUrl = 'https://daemon';
/** A peer that disappeared silently is noticed within the sum of the two. */
const keepAliveMs = 20_000;
const keepAliveTimeoutMs = 10_000;
const sweepMs = 1_000;
/** The peer is known, and only the keep-alive ends an idle connection. */
const never = { strangerIdleMs: Infinity, idleTimeoutMs: Infinity };

export interface BegunConnection extends Http2Connection {
  /** Whether the peer has begun HTTP/2. */
  readonly begun: Promise<boolean>;
}

/** @param socket is connected, and its peer is authenticated. */
export function overHttp2(
  socket: net.Socket,
  /** The authority that the requests name. */
  authority: string,
  channelBinding: Uint8Array,
  limits: { readonly readMaxBytes?: number } = {},
): BegunConnection {
  const session = http2.connect(baseUrl, { createConnection: () => socket });
  const connection = new Connection(socket, '');
  connection.known();
  // An error of the session fails its calls, and they report it.
  connection.carries(session);
  // A TLS alert. Node destroys the session and leaves the socket open, so the session never closes by itself.
  socket.once('error', () => connection.cut());
  let refused = false;
  session.once('goaway', (code) => {
    refused = code === http2.constants.NGHTTP2_INADEQUATE_SECURITY;
  });
  const keepAlive = setInterval(() => {
    // Its `close` event may still be to come.
    if (session.destroyed || session.closed) return;
    const dead = setTimeout(() => connection.end(), keepAliveTimeoutMs).unref();
    session.ping(() => clearTimeout(dead));
  }, keepAliveMs);
  keepAlive.unref();
  const sweep = setInterval(() => connection.check(performance.now(), never), sweepMs).unref();
  session.once('close', () => {
    clearInterval(keepAlive);
    clearInterval(sweep);
  });
  const transport = createGrpcTransport({
    baseUrl,
    acceptCompression: [],
    ...limits,
    interceptors: [
      printableAnswers,
      (next) => (request) =>
        next(request).catch((error) => {
          throw refused ? certificateNotTaken(error) : error;
        }),
    ],
    sessionManager: {
      authority: baseUrl,
      request: async (method, path, headers, options) => {
        // Node's own error would read like a bug of ours.
        if (session.closed || session.destroyed) throw closed(authority);
        // Node's own URL has an IPv6 address without brackets.
        return session.request(
          { ...headers, ':authority': authority, ':method': method, ':path': path },
          options,
        );
      },
      notifyResponseByteRead: () => {},
    },
  });
  const begun = new Promise<boolean>((resolve) => {
    session.once('remoteSettings', () => resolve(true));
    session.once('close', () => resolve(false));
    setTimeout(() => resolve(false), connectTimeoutMs).unref();
  });
  return {
    transport,
    channelBinding,
    begun,
    closed: new Promise((resolve) => session.once('close', () => resolve(undefined))),
    close: () => connection.finish(),
    destroy: () => connection.cut(),
  };
}

/** The error of calls that are too late to get the listener's answer. */
function certificateNotTaken(cause: unknown): IdentityError {
  return new IdentityError(
    'CERTIFICATE_UNKNOWN',
    "The daemon does not accept this device's certificate, because another authority issued it.",
    { cause },
  );
}

function closed(authority: string): IdentityError {
  return new IdentityError('UNREACHABLE', `The connection to ${authority} was closed.`);
}

/** The system's own timeout error. The system would take minutes to report it. */
export function timedOut(): Error {
  return Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' });
}
