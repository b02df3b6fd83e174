// The client side of HTTP/2 over TLS: one connection, dialled and authenticated by our own code.

import type { Transport } from '@connectrpc/connect';
import { IdentityError, type ServerCredential } from '@palyra/identity';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { authorityOf, MAX_PAIRING_MESSAGE_BYTES } from '@palyra/identity/values';
import { exportChannelBinding } from './channel-binding.ts';
import { type Http2Connection, overHttp2 } from './connection-over.ts';
import { dialTls, type KnownDaemon } from './dial-tls.ts';
import { defaultHttp2Limits } from './limits.ts';

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

function wrongListener(address: string, listener: string): string {
  return `The server at ${address} is not ${listener}.`;
}
