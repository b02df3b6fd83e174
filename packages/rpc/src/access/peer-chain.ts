// A TLS peer's certificates, as far as somebody asks for them. Never by `getPeerX509Certificate()`, which keeps the
// peer's whole chain in memory for ever (Node 24 and 26; a test looks for it in the sources).

import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { MAX_CHAIN_CERTIFICATES } from '@palyra/identity/certificate';

/** All that OpenSSL says of a chain whose dates alone are wrong. It says the same of many that are wrong otherwise. */
const dateErrors: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/**
 * What OpenSSL makes of the peer's chain. Costs nothing, and nothing of the chain is read.
 * @returns `dates` when its last error was one of dates, which hides every other.
 */
export function opensslVerdict(socket: TLSSocket): 'good' | 'dates' | 'bad' {
  if (socket.authorized) return 'good';
  return dateErrors.has(String(socket.authorizationError)) ? 'dates' : 'bad';
}

/** DER; undefined when the peer showed no certificate. */
export function peerLeaf(socket: TLSSocket): Uint8Array | undefined {
  // Without a certificate this is an empty object, after the end of the connection null.
  const leaf = socket.getPeerCertificate() as Partial<PeerCertificate> | null;
  return leaf?.raw;
}

/**
 * The leaf and its issuers, as many as a chain of ours may have and one more; DER. OpenSSL adds the root from those that
 * are trusted. Takes 0.1 ms for each certificate that is sent, so the leaf is judged first where strangers may send them.
 */
export function peerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let each = socket.getPeerCertificate(true) as Partial<DetailedPeerCertificate> | null | undefined;
  while (each?.raw && chain.length <= MAX_CHAIN_CERTIFICATES) {
    chain.push(each.raw);
    // A root is its own issuer here.
    each = each.issuerCertificate === each ? undefined : each.issuerCertificate;
  }
  return chain;
}
