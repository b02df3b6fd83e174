// How a device reaches its daemon: QUIC first, HTTP/2 where UDP does not get through, the daemon has as many QUIC
// connections as it takes, or its QUIC side could not prove who it is. Both are the same mutual TLS.

import type { IdentityErrorCode } from '@palyra/identity';
import { IdentityError, type PairedEnrollment, quicEndpoints, webEndpoints } from '@palyra/identity/device';
import { fromConnectError, type NodeConnection } from '@palyra/rpc';

/** With these, HTTP/2 is tried. */
const givesWay: ReadonlySet<IdentityErrorCode> = new Set([
  'QUIC_UNAVAILABLE',
  'UNREACHABLE',
  'DAEMON_NOT_AUTHENTICATED',
]);
/** No room, or a matter of dates that TLS in QUIC has no exact word for, and the daemon has over HTTP/2. */
const puttingOff: ReadonlySet<IdentityErrorCode> = new Set([
  'TOO_MANY_SESSIONS',
  'CLOCK_SKEW',
  'CERTIFICATE_NOT_YET_VALID',
]);

/** Where UDP is blocked nothing comes back, and HTTP/2 waits. */
const quicPatienceMs = 3_000;

export type Dial = (enrollment: PairedEnrollment) => Promise<NodeConnection>;
type QuicDial = (
  enrollment: PairedEnrollment,
  options: { readonly handshakeTimeoutMs: number },
) => Promise<NodeConnection>;

/**
 * @returns a dial that gives up on QUIC only when this machine has none, nothing answers there, the daemon had no room or
 *   did not take this certificate's dates the last time, or the server is not proven to be the daemon. Whatever else a
 *   peer says is final for this attempt. The HTTP/2 connection then says why it is not on QUIC. Over HTTP/2 the daemon's
 *   chain can be read: there an impostor and a wrong clock are told apart, and that answer is final. A daemon that came up
 *   between the two is asked over QUIC again.
 */
export function quicFirst(quic: QuicDial, http2: Dial): Dial {
  /** Why the last connection ended, when the next one is to be over HTTP/2. */
  let putOff: IdentityError | undefined;
  /** QUIC came through the last time, or nothing did: a daemon that starts just now may have missed the question. */
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
 *   in between, or lets nothing else through. What failed first is the answer where the channel fails, too.
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

/** With these, a channel is tried. */
const goesAround: ReadonlySet<IdentityErrorCode> = new Set(['UNREACHABLE', 'DAEMON_NOT_AUTHENTICATED']);

/** A connection that comes after the signal is closed. @throws the signal's reason, as soon as there is one. */
export async function dialled<C extends { close(): void }>(
  signal: AbortSignal,
  dialling: Promise<C>,
): Promise<C> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([dialling, promise]);
  } catch (error) {
    dialling.then(
      (late) => late.close(),
      () => {},
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
