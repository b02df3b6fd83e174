// A paired device's connection to the node services over QUIC, in the shape that the HTTP/2 dialer gives it.

import { certificatesToPem, IdentityError, type PairedEnrollment, TlsKey } from '@palyra/identity';
import { type NodeConnection, printableAnswers } from '@palyra/rpc';
import type { Quic, QuicLimits } from './contract.ts';
import { createQuicTransport } from './rpc/client.ts';

/** A daemon that has gone without a word is noticed after this: it does not answer for connections it does not know. */
const silenceMs = 15_000;
const keepAliveMs = 5_000;

/**
 * @param options `handshakeTimeoutMs`: for who has another way to go. Default: the contract's.
 * @throws UNREACHABLE, DAEMON_NOT_AUTHENTICATED, VERSION_UNSUPPORTED
 */
export async function dialNodeQuic(
  quic: Quic,
  enrollment: PairedEnrollment,
  options: Partial<Pick<QuicLimits, 'handshakeTimeoutMs'>> = {},
): Promise<NodeConnection> {
  const address = enrollment.quicAddress;
  if (!address) throw new IdentityError('UNREACHABLE', 'This daemon does not serve QUIC.');
  const at = address.lastIndexOf(':');
  const connection = await quic.dial({
    host: address.slice(0, at).replace(/^\[(.*)\]$/, '$1'),
    port: Number(address.slice(at + 1)),
    tls: {
      certificateChain: certificatesToPem(enrollment.certificateChain),
      privateKey: TlsKey.fromPkcs8(enrollment.tlsKey).toPem(),
      pinnedRoot: certificatesToPem(enrollment.trustBundle),
      trustDomain: enrollment.trustDomain,
    },
    limits: { ...options, idleTimeoutMs: silenceMs },
    keepAliveMs,
  });
  return {
    name: 'quic',
    transport: createQuicTransport({ connect: async () => connection, interceptors: [printableAnswers] }),
    closed: connection.closed,
    close: () => connection.close(),
    destroy: () => connection.close(),
  };
}
