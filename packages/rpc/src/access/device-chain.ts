// Judges for the node listener whether this daemon's authority issued a client's chain, whatever its dates. The cheap checks come
// first, because strangers can cause them.

import type { TLSSocket } from 'node:tls';
import { hasCode } from '@palyra/identity';
import type { ChainJudge, PeerCertificate } from '@palyra/identity/certificate';
import { opensslVerdict, peerChain, peerLeaf } from './peer-chain.ts';

/** The leaf, which the registry judges; `missing` without a certificate; `foreign` for a chain that is not ours. */
export type DeviceChain = PeerCertificate | 'missing' | 'foreign';

/** A property instead of a map, because HTTP/2 hands out a proxy of the socket. */
const verdict = Symbol('verdict about the chain of this device');
type JudgedSocket = TLSSocket & { [verdict]?: DeviceChain };

/** Reads and judges the chain once, when the handshake is done. */
export function judgeDeviceChain(socket: JudgedSocket, judge: ChainJudge): DeviceChain {
  socket[verdict] = judged(socket, judge);
  return socket[verdict];
}

/** The verdict of `judgeDeviceChain` about this connection. */
export function deviceChainOf(socket: JudgedSocket): DeviceChain {
  return socket[verdict] ?? 'missing';
}

function judged(socket: TLSSocket, judge: ChainJudge): DeviceChain {
  const leaf = peerLeaf(socket);
  if (!leaf) return 'missing';
  const openssl = opensslVerdict(socket);
  if (openssl === 'bad') return 'foreign';
  try {
    const certificate = judge.judgeLeaf(leaf);
    // The rest of the chain is valid, or has a fault that the wrong dates hide.
    return openssl === 'good' ? certificate : judge.judge(peerChain(socket)).leaf;
  } catch (error) {
    if (hasCode(error, 'CERTIFICATE_INVALID')) return 'foreign';
    throw error;
  }
}
