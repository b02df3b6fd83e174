// Reads a TLS peer's certificates on demand. Never uses `getPeerX509Certificate()`, which never frees the memory of the peer's
// chain (Node 24 and 26). A test makes sure that no source file calls it.

import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { MAX_CHAIN_CERTIFICATES } from '@palyra/identity/certificate';

/** OpenSSL's errors for a chain with wrong dates. Many chains with other faults get these errors as well. */
const dateErrors: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/**
 * OpenSSL's verdict about the peer's chain. Costs nothing, because the chain is not read.
 * @returns `dates` when the last error was about dates, which hides all other errors.
 */
export function opensslVerdict(socket: TLSSocket): 'good' | 'dates' | 'bad' {
  if (socket.authorized) return 'good';
  return dateErrors.has(String(socket.authorizationError)) ? 'dates' : 'bad';
}

/** The leaf, DER; undefined when the peer showed no certificate. */
export function peerLeaf(socket: TLSSocket): Uint8Array | undefined {
  // Node returns an empty object without a certificate, and null after the end of the connection.
  const leaf = socket.getPeerCertificate() as Partial<PeerCertificate> | null;
  return leaf?.raw;
}

/**
 * The leaf and its issuers, DER: at most one more than the longest chain of ours. OpenSSL adds the root from the trusted
 * roots. Reading takes 0.1 ms per certificate sent, so listeners open to strangers judge the leaf first.
 */
export function peerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let each = socket.getPeerCertificate(true) as Partial<DetailedPeerCertificate> | null | undefined;
  while (each?.raw && chain.length <= MAX_CHAIN_CERTIFICATES) {
    chain.push(each.raw);
    // Node links a root to itself as its issuer.
    each = each.issuerCertificate === each ? undefined : each.issuerCertificate;
  }
  return chain;
}
