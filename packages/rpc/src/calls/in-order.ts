// Tries the endpoints of a daemon in order, and connects to the first one at which this daemon answers.

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
 * Tries the next endpoint when nothing answers, or another server answers. Any answer of the daemon itself is final.
 * @throws the error of a single endpoint. With several endpoints: DAEMON_NOT_AUTHENTICATED if every endpoint threw that code,
 *   otherwise UNREACHABLE.
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

/** Dials the node listener at each endpoint of a daemon in turn. @throws as `dialNode` and `inOrder`. */
export function reachNode(
  enrollment: PairedEnrollment,
  options?: { readonly readMaxBytes?: number },
): Promise<Http2Connection & NodeConnection> {
  return inOrder(nodeEndpoints(enrollment), (endpoint) => dialNode(endpoint, enrollment, options));
}

/** Dials the pairing listener at each endpoint in turn, for a recovery. @throws as `dialPairing` and `inOrder`. */
export function reachPairing(enrollment: PairedEnrollment): Promise<PairingConnection> {
  return inOrder(pairingEndpoints(enrollment), (endpoint) => dialPairing(endpoint, enrollment));
}
