// The node listener's verdict about the chain that a client shows: is it of this daemon's authority, whatever its dates?
// The cheap questions come first, because strangers ask them.

import type { TLSSocket } from 'node:tls';
import { hasCode } from '@palyra/identity';
import type { ChainJudge, PeerCertificate } from '@palyra/identity/certificate';
import { opensslVerdict, peerChain, peerLeaf } from './peer-chain.ts';

/** The leaf, for the registry to decide about; `missing` without a certificate; `foreign` for a chain that is not ours. */
export type DeviceChain = PeerCertificate | 'missing' | 'foreign';

/** HTTP/2 hands out a proxy of the socket, which a map would not find. */
const verdict = Symbol('verdict about the chain of this device');
type JudgedSocket = TLSSocket & { [verdict]?: DeviceChain };

/** Reads the chain once, when the handshake is done. */
export function judgeDeviceChain(socket: JudgedSocket, judge: ChainJudge): DeviceChain {
  socket[verdict] = judged(socket, judge);
  return socket[verdict];
}

/** What `judgeDeviceChain` said of this connection. */
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
    // Nothing is wrong with what else came, or something that its dates hide.
    return openssl === 'good' ? certificate : judge.judge(peerChain(socket)).leaf;
  } catch (error) {
    if (hasCode(error, 'CERTIFICATE_INVALID')) return 'foreign';
    throw error;
  }
}
