import type { DaemonConfig } from '../config.ts';

/** The limits for connections that do not (yet) belong to a paired device, on the pairing, the node and the web listener. */
export function strangerLimits({ limits }: DaemonConfig) {
  const { strangersPerSource, strangerIdleMs, handshakeTimeoutMs } = limits;
  return { strangersPerSource, strangerIdleMs, handshakeTimeoutMs };
}
