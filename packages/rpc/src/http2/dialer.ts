// The client side of HTTP/2: one connection, dialled and authenticated by our own code.

import http2 from 'node:http2';
import net from 'node:net';
import type { Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { IdentityError, type ServerCredential } from '@palyra/identity';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import type { ErrorFields } from '@palyra/identity/errors';
import { authorityOf, MAX_PAIRING_MESSAGE_BYTES, reasonOf } from '@palyra/identity/values';
import { printableAnswers } from '../calls/printable-answers.ts';
import { Connection } from '../connections/connection.ts';
import { exportChannelBinding } from './channel-binding.ts';
import { connectTimeoutMs, dialTls, type KnownDaemon, timedOut } from './dial-tls.ts';
import { defaultHttp2Limits } from './limits.ts';

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

/** A connection to the node listener, over any transport. */
export interface NodeConnection {
  readonly name: 'http2' | 'quic' | 'websocket';
  /** host:port that was dialled. */
  readonly address: string;
  /** Why this connection does not use QUIC although the daemon serves QUIC. */
  readonly quicProblem?: string;
  readonly transport: Transport;
  /** Resolves when the connection has ended; over QUIC with the daemon's reason, where it gave one. */
  readonly closed: Promise<IdentityError | undefined>;
  close(): void;
  destroy(): void;
}

const pairingListener = 'the pairing listener (usually port 7443)';
const nodeListener = 'the node listener (usually port 7444)';
/** A URL for Connect and Node, which get a finished connection and never dial this URL. */
const baseUrl = 'https://daemon';
/** A peer that disappeared silently is noticed within the sum of the two. */
const keepAliveMs = 20_000;
const keepAliveTimeoutMs = 10_000;
const sweepMs = 1_000;
/** The peer is known, and only the keep-alive ends an idle connection. */
const never = { strangerIdleMs: Infinity, idleTimeoutMs: Infinity };

/**
 * Dials the node listener, over mutual TLS. The daemon is authenticated by its SPIFFE ID and its chain to a pinned root, not by
 * its address.
 * @param address host:port of the node listener.
 * @param options `readMaxBytes`: the largest answer that is accepted. Default: a listener's limit for a message.
 * @throws UNREACHABLE, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW
 */
export async function dialNode(
  address: string,
  enrollment: PairedEnrollment,
  { readMaxBytes = defaultHttp2Limits.messageBytes }: { readonly readMaxBytes?: number } = {},
): Promise<Http2Connection & NodeConnection> {
  const socket = await dialTls({
    address,
    peer: enrollment,
    credential: {
      cert: certificatesToPem(enrollment.certificateChain),
      key: TlsKey.fromPkcs8(enrollment.tlsKey).toPem(),
    },
    isAnother: wrongListener(address, nodeListener),
  });
  const connection = overHttp2(socket, authorityOf(address), exportChannelBinding(socket), { readMaxBytes });
  return { ...connection, name: 'http2', address };
}

/**
 * Dials the node listener of another daemon of the fleet, with this daemon's certificate.
 * @param options.fingerprints of the certificates of that daemon. Any other daemon is refused.
 * @throws as `dialNode`
 */
export async function dialPeer(
  address: string,
  options: {
    readonly known: KnownDaemon;
    readonly fingerprints: readonly string[];
    readonly credential: ServerCredential;
  },
): Promise<Http2Connection> {
  const { known, fingerprints, credential } = options;
  const socket = await dialTls({
    address,
    peer: known,
    fingerprints,
    credential: { cert: certificatesToPem(credential.certificateChain), key: credential.key.toPem() },
    isAnother: wrongListener(address, nodeListener),
  });
  const readMaxBytes = defaultHttp2Limits.messageBytes;
  return overHttp2(socket, authorityOf(address), exportChannelBinding(socket), { readMaxBytes });
}

/**
 * Dials the pairing listener. At the first pairing the daemon is not known yet. The pairing itself, which is bound to the TLS
 * channel, authenticates the daemon.
 * @param known the daemon, once its root is pinned. Any other server is then refused.
 * @throws as `dialNode`.
 */
export async function dialPairing(address: string, known?: KnownDaemon): Promise<PairingConnection> {
  const isAnother = wrongListener(address, pairingListener);
  const socket = await dialTls({ address, peer: known ?? 'anyone', isAnother });
  const connection = overHttp2(socket, authorityOf(address), exportChannelBinding(socket), {
    readMaxBytes: MAX_PAIRING_MESSAGE_BYTES,
  });
  // The node listener refuses a peer without a certificate by a TLS alert, before HTTP/2 begins.
  if (await connection.begun) return { ...connection, isKnownDaemon: known !== undefined };
  connection.destroy();
  throw new IdentityError('UNREACHABLE', isAnother);
}

/** A connection to the pairing listener. */
export interface PairingConnection extends Http2Connection {
  /** TLS has authenticated the daemon of an enrollment. */
  readonly isKnownDaemon: boolean;
}

/** Dials the admin socket of a daemon on this machine. @throws UNREACHABLE */
export async function dialAdmin(socketPath: string): Promise<Http2Connection> {
  const socket = net.connect(socketPath);
  await connected(socket, `No daemon answers at ${socketPath}.`, { about: 'admin_socket' });
  return overHttp2(socket, 'localhost', new Uint8Array());
}

interface BegunConnection extends Http2Connection {
  /** Whether the peer has begun HTTP/2. */
  readonly begun: Promise<boolean>;
}

function overHttp2(
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

function wrongListener(address: string, listener: string): string {
  return `The server at ${address} is not ${listener}.`;
}

function closed(authority: string): IdentityError {
  return new IdentityError('UNREACHABLE', `The connection to ${authority} was closed.`);
}

async function connected(socket: net.Socket, unreachable: string, fields: ErrorFields): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(timedOut()), connectTimeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', (cause) => {
      clearTimeout(timer);
      reject(new IdentityError('UNREACHABLE', `${unreachable} (${reasonOf(cause)})`, { ...fields, cause }));
    });
  });
}
