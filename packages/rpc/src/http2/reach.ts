// Connects over HTTP/2 to the first of a daemon's endpoints at which this daemon answers.

import { nodeEndpoints, type PairedEnrollment, pairingEndpoints } from '@palyra/identity/device';
import { inOrder } from '../calls/in-order.ts';
import type { Http2Connection } from './connection-over.ts';
import { dialNode, dialPairing, type NodeConnection, type PairingConnection } from './dialer.ts';

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
