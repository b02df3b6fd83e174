// How a device reaches its daemon: QUIC first, HTTP/2 where UDP does not get through. Both are the same mutual TLS.

import { hasCode, type PairedEnrollment } from '@palyra/identity';
import { fromConnectError, type NodeConnection } from '@palyra/rpc';

export type Dial = (enrollment: PairedEnrollment) => Promise<NodeConnection>;

/**
 * @param quic undefined where this machine has no QUIC.
 * @returns a dial that gives up on QUIC only when nothing answers there: whatever a peer that does answer says, or fails
 *   to prove, is final for this attempt. The HTTP/2 connection then says why it is not on QUIC.
 */
export function quicFirst(quic: Dial | undefined, http2: Dial): Dial {
  return async (enrollment) => {
    if (!enrollment.quicAddress) return http2(enrollment);
    if (!quic) return { ...(await http2(enrollment)), quicProblem: 'this device has no QUIC library' };
    try {
      return await quic(enrollment);
    } catch (cause) {
      const error = fromConnectError(cause);
      if (!hasCode(error, 'UNREACHABLE')) throw error;
      return { ...(await http2(enrollment)), quicProblem: error.message };
    }
  };
}
