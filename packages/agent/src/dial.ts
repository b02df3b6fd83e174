// Connects a device to its daemon: over QUIC first, and over HTTP/2 if UDP is blocked, the daemon has no room for QUIC
// connections, or the QUIC server is not proven to be the daemon. Both use the same mutual TLS.

import type { IdentityErrorCode } from '@palyra/identity';
import { IdentityError, type PairedEnrollment, quicEndpoints, webEndpoints } from '@palyra/identity/device';
import { fromConnectError, type NodeConnection } from '@palyra/rpc';

/** Errors after which HTTP/2 is tried. */
const givesWay: ReadonlySet<IdentityErrorCode> = new Set([
  'QUIC_UNAVAILABLE',
  'UNREACHABLE',
  'DAEMON_NOT_AUTHENTICATED',
]);
/** No room, or a problem with dates that TLS over QUIC cannot report exactly but the daemon can over HTTP/2. */
const puttingOff: ReadonlySet<IdentityErrorCode> = new Set([
  'TOO_MANY_SESSIONS',
  'CLOCK_SKEW',
  'CERTIFICATE_NOT_YET_VALID',
]);

/** If UDP is blocked, there is no answer, and HTTP/2 starts after this time. */
const quicPatienceMs = 3_000;

export type Dial = (enrollment: PairedEnrollment) => Promise<NodeConnection>;
type QuicDial = (
  enrollment: PairedEnrollment,
  options: { readonly handshakeTimeoutMs: number },
) => Promise<NodeConnection>;

/**
 * @returns a dial that leaves QUIC only if this machine does not support it, nothing answers, the daemon last had no
 *   room
 * or refused this certificate's dates, or the server is not proven to be the daemon. Any other error is final for this
 * attempt. The HTTP/2 connection then reports why it is not on QUIC. Over HTTP/2 the device can read the daemon's chain
 * and distinguish an impostor from a wrong clock, so that error is final. If the daemon started between the two
 * attempts, QUIC is tried again.
 */
export function quicFirst(quic: QuicDial, http2: Dial): Dial {
  /** The end of the last connection, if it makes the next one use HTTP/2. */
  let putOff: IdentityError | undefined;
  /** Whether QUIC worked last time, or nothing did: a daemon that is starting may have missed the first attempt. */
  let mayHaveStarted = false;
  const overQuic: Dial = async (enrollment) => {
    const connection = await quic(enrollment, { handshakeTimeoutMs: quicPatienceMs });
    mayHaveStarted = true;
    void connection.closed.then((reason) => {
      if (reason instanceof IdentityError && puttingOff.has(reason.code)) putOff = reason;
    });
    return connection;
  };
  return async (enrollment) => {
    if (quicEndpoints(enrollment).length === 0) return http2(enrollment);
    if (putOff) {
      const quicProblem = putOff.message;
      putOff = undefined;
      return { ...(await http2(enrollment)), quicProblem };
    }
    try {
      return await overQuic(enrollment);
    } catch (cause) {
      const error = fromConnectError(cause);
      if (!givesWay.has(error.code)) throw error;
      const asksAgain = mayHaveStarted && error.code === 'UNREACHABLE';
      mayHaveStarted = true;
      const connection = await http2(enrollment);
      mayHaveStarted = false;
      const again = asksAgain ? await overQuic(enrollment).catch(() => undefined) : undefined;
      if (!again) return { ...connection, quicProblem: error.message };
      connection.close();
      return again;
    }
  };
}

/**
 * @returns a dial that takes a channel over WebSockets where the first one does not reach the daemon: a proxy that ends TLS is
 *   in between, or lets nothing else through. If the channel fails too, the first error is reported.
 */
export function webLast(first: Dial, web: Dial): Dial {
  return async (enrollment) => {
    try {
      return await first(enrollment);
    } catch (cause) {
      const error = fromConnectError(cause);
      if (webEndpoints(enrollment).length === 0 || !goesAround.has(error.code)) throw error;
      return web(enrollment).catch(() => {
        throw error;
      });
    }
  };
}

/** Errors after which a channel is tried. */
const goesAround: ReadonlySet<IdentityErrorCode> = new Set(['UNREACHABLE', 'DAEMON_NOT_AUTHENTICATED']);
