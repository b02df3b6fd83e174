// TLS's verdict about a certificate chain, on either side: signatures up to a trusted root.

import { hash, X509Certificate } from 'node:crypto';
import { type PeerCertificate, readPeerCertificate } from '@palyra/identity/certificate';

/** Verdicts by the two fingerprints. Each pair is verified once in a simulated year. */
const verified = new Map<string, boolean>();

/**
 * @param chain each signed by the next, the last by a root; DER. Of a device's chain the issuing CA is enough: the device
 *   has verified the rest when it got it. Dates are ignored.
 */
export function leadsTo(chain: readonly Uint8Array[], roots: readonly Uint8Array[]): boolean {
  const last = chain.at(-1);
  return (
    last !== undefined &&
    chain.slice(1).every((issuer, at) => isSignedBy(chain[at]!, issuer)) &&
    roots.some((root) => isSignedBy(last, root))
  );
}

function isSignedBy(der: Uint8Array, issuerDer: Uint8Array): boolean {
  const pair = `${fingerprint(der)} ${fingerprint(issuerDer)}`;
  let known = verified.get(pair);
  if (known === undefined) {
    const [certificate, issuer] = [new X509Certificate(der), new X509Certificate(issuerDer)];
    known = certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
    verified.set(pair, known);
  }
  return known;
}

const fingerprints = new WeakMap<Uint8Array, string>();

function fingerprint(der: Uint8Array): string {
  let known = fingerprints.get(der);
  if (known === undefined) {
    known = hash('sha256', der);
    fingerprints.set(der, known);
  }
  return known;
}

const read = new WeakMap<Uint8Array, PeerCertificate>();

/** Each certificate is parsed once. */
export function peerCertificate(der: Uint8Array): PeerCertificate {
  let known = read.get(der);
  if (!known) {
    known = readPeerCertificate(der);
    read.set(der, known);
  }
  return known;
}
