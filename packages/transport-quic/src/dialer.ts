// A paired device's connection to the node services over QUIC, with the interface of the HTTP/2 dialer.

import { IdentityError } from '@palyra/identity';
import { certificatesToPem, TlsKey } from '@palyra/identity/certificate';
import { type PairedEnrollment, quicEndpoints } from '@palyra/identity/device';
import { parseEndpoint } from '@palyra/identity/values';
import type { NodeConnection } from '@palyra/rpc';
import type { StreamLimits } from '@palyra/rpc/portable';
import { createCallTransport, inOrder, printableAnswers } from '@palyra/rpc/portable';
import type { Quic } from './contract.ts';

/** A daemon that disappeared silently is noticed after this time. A restarted daemon does not answer for old connections. */
const silenceMs = 15_000;
const keepAliveMs = 5_000;
/** The same for a device that knows several daemons: it is back at another one within 5 s after one was killed. */
const fleetSilenceMs = 3_000;
const fleetKeepAliveMs = 1_000;
/**
 * Dials the daemon over QUIC at each of its endpoints in turn.
 * @param options `handshakeTimeoutMs`: for callers that can fall back to another transport. Default: the contract's.
 * @throws UNREACHABLE, DAEMON_NOT_AUTHENTICATED, VERSION_UNSUPPORTED
 */
export async function dialNodeQuic(
  quic: Quic,
  enrollment: PairedEnrollment,
  options: QuicDialLimits = {},
): Promise<NodeConnection> {
  const endpoints = quicEndpoints(enrollment);
  if (endpoints.length === 0) {
    const message =
      'The daemon did not serve QUIC when this device was paired, and has announced no QUIC port since.';
    throw new IdentityError('UNREACHABLE', message, { about: 'quic_endpoints' });
  }
  const times =
    endpoints.length > 1
      ? { silenceMs: fleetSilenceMs, keepAliveMs: fleetKeepAliveMs }
      : { silenceMs, keepAliveMs };
  return inOrder(endpoints, (address) => dialOne(quic, address, enrollment, { ...options, ...times }));
}

type QuicDialLimits = Partial<Pick<StreamLimits, 'handshakeTimeoutMs'>>;

async function dialOne(
  quic: Quic,
  address: string,
  enrollment: PairedEnrollment,
  { silenceMs, keepAliveMs, ...limits }: QuicDialLimits & { silenceMs: number; keepAliveMs: number },
): Promise<NodeConnection> {
  const connection = await quic.dial({
    ...parseEndpoint(address),
    tls: {
      certificateChain: certificatesToPem(enrollment.certificateChain),
      privateKey: TlsKey.fromPkcs8(enrollment.tlsKey).toPem(),
      pinnedRoot: certificatesToPem(enrollment.trustBundle),
      trustDomain: enrollment.trustDomain,
    },
    limits: { ...limits, idleTimeoutMs: silenceMs },
    keepAliveMs,
  });
  return {
    name: 'quic',
    address,
    transport: createCallTransport({ connect: async () => connection, interceptors: [printableAnswers] }),
    closed: connection.closed,
    close: () => connection.close(),
    destroy: () => connection.close(),
  };
}
