import type { DaemonConfig } from '../config.ts';

/** What a connection gets that is no paired device's, or not yet: on the pairing, the node and the web listener. */
export function strangerLimits({ limits }: DaemonConfig) {
  const { strangersPerSource, strangerIdleMs, handshakeTimeoutMs } = limits;
  return { strangersPerSource, strangerIdleMs, handshakeTimeoutMs };
}
