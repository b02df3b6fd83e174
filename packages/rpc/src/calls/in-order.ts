// A daemon with several endpoints: the first in the list that is this daemon is taken.

import { hasCode, IdentityError } from '@palyra/identity';
import { nodeEndpoints, type PairedEnrollment, pairingEndpoints } from '@palyra/identity/device';
import {
  dialNode,
  dialPairing,
  type Http2Connection,
  type NodeConnection,
  type PairingConnection,
} from '../http2/dialer.ts';

/**
 * Goes on where nobody answers, or somebody else. Whatever the daemon itself says is the answer.
 * @throws what the one endpoint threw; of several, DAEMON_NOT_AUTHENTICATED if that is what all of them threw, otherwise
 *   UNREACHABLE.
 */
export async function inOrder<T>(
  endpoints: readonly string[],
  dial: (endpoint: string) => Promise<T>,
): Promise<T> {
  const errors: IdentityError[] = [];
  for (const endpoint of endpoints) {
    try {
      return await dial(endpoint);
    } catch (error) {
      if (!hasCode(error, 'UNREACHABLE') && !hasCode(error, 'DAEMON_NOT_AUTHENTICATED')) throw error;
      errors.push(error);
    }
  }
  const [only, ...others] = errors;
  if (only && others.length === 0) throw only;
  const isAnother = errors.length > 0 && errors.every(({ code }) => code === 'DAEMON_NOT_AUTHENTICATED');
  const tried = endpoints.map((endpoint, at) => `\n  ${endpoint}: ${errors[at]?.message}`);
  throw new IdentityError(
    isAnother ? 'DAEMON_NOT_AUTHENTICATED' : 'UNREACHABLE',
    `The daemon is at none of its ${endpoints.length} endpoints.${tried.join('')}`,
    { cause: only },
  );
}

/** The node listener of a daemon, wherever it is. @throws as `dialNode` and `inOrder`. */
export function reachNode(
  enrollment: PairedEnrollment,
  options?: { readonly readMaxBytes?: number },
): Promise<Http2Connection & NodeConnection> {
  return inOrder(nodeEndpoints(enrollment), (endpoint) => dialNode(endpoint, enrollment, options));
}

/** Its pairing listener, for a recovery. @throws as `dialPairing` and `inOrder`. */
export function reachPairing(enrollment: PairedEnrollment): Promise<PairingConnection> {
  return inOrder(pairingEndpoints(enrollment), (endpoint) => dialPairing(endpoint, enrollment));
}
