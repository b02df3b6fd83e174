// A certificate that came from outside. OpenSSL reads it (node:crypto); here it is only asked who it names.
//
// What is not read here is proven elsewhere: TLS has verified the chain to the pinned root, extended key usage and
// dates, and the registry knows every certificate by fingerprint. `X509Certificate` does not show the key usage bits, so
// keyCertSign is left to the chain check, which refuses it together with CA:FALSE.

import { hash, X509Certificate } from 'node:crypto';
import { IdentityError } from '../errors.ts';
import { type LeafSpiffeId, parseSpiffeId, type SpiffeId } from './spiffe-id.ts';

/** Largest certificate that is looked at, bytes of DER. */
export const MAX_CERTIFICATE_BYTES = 16 * 1024;

export interface CertificateSummary {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  readonly fingerprint: string;
  /** 32 lower-case hex digits. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface PeerCertificate extends CertificateSummary {
  readonly spiffeId: LeafSpiffeId;
}

export interface AuthorityCertificate extends CertificateSummary {
  readonly trustDomain: string;
}

/**
 * Who a device's or daemon's certificate names (SPIFFE X509-SVID 5.2). Runs once per connection.
 * @param certificate DER, or what `tls.TLSSocket.getPeerX509Certificate()` returns.
 * @throws CERTIFICATE_INVALID
 */
export function readPeerCertificate(certificate: Uint8Array | X509Certificate): PeerCertificate {
  const x509 = parseCertificate(certificate);
  const spiffeId = onlySpiffeId(x509);
  if (x509.ca || spiffeId.kind === 'trust-domain')
    throw invalid('it is not the certificate of a device or daemon');
  return { ...summarize(x509), spiffeId };
}

/**
 * What a root or issuing CA's certificate says about itself; not who signed it.
 * @throws CERTIFICATE_INVALID
 */
export function readAuthorityCertificate(certificate: Uint8Array | X509Certificate): AuthorityCertificate {
  const x509 = parseCertificate(certificate);
  const spiffeId = onlySpiffeId(x509);
  if (!x509.ca || spiffeId.kind !== 'trust-domain')
    throw invalid('it is not the certificate of an authority');
  return { ...summarize(x509), trustDomain: spiffeId.trustDomain };
}

/** @throws CERTIFICATE_INVALID */
export function parseCertificate(certificate: Uint8Array | X509Certificate): X509Certificate {
  if (certificate instanceof X509Certificate) return certificate;
  if (certificate.length > MAX_CERTIFICATE_BYTES) throw invalid('it is too large');
  // X509Certificate would also take PEM; a SEQUENCE with a two-byte length is what every certificate starts with.
  if (certificate[0] !== 0x30) throw invalid('it is not DER');
  try {
    return new X509Certificate(certificate);
  } catch (cause) {
    throw invalid('it cannot be parsed', cause);
  }
}

/**
 * `subjectAltName` is text, in which Node quotes every value that could be mistaken for two (CVE-2021-44532). None of
 * our names needs quotes, so a text with a quote, a backslash or any kind of name that we do not write names nobody.
 */
function onlySpiffeId(x509: X509Certificate): SpiffeId {
  let found: string | undefined;
  for (const name of (x509.subjectAltName ?? '').split(', ')) {
    if (!/^(?:URI|DNS|IP Address):[\w.:/-]+$/.test(name))
      throw invalid('its alternative names cannot be read');
    if (!name.startsWith('URI:')) continue;
    if (found !== undefined) throw invalid('it has more than one URI name');
    found = name.slice(4);
  }
  if (found === undefined) throw invalid('it has no URI name');
  return parseSpiffeId(found);
}

function summarize(x509: X509Certificate): CertificateSummary {
  const { raw, validFromDate: notBefore, validToDate: notAfter } = x509;
  if (raw.length > MAX_CERTIFICATE_BYTES) throw invalid('it is too large');
  const serial = x509.serialNumber.toLowerCase().padStart(32, '0');
  if (!/^[0-9a-f]{32}$/.test(serial))
    throw invalid('its serial number is negative or has more than 128 bits');
  if (!(notBefore.getTime() <= notAfter.getTime())) throw invalid('its dates cannot be read');
  return { fingerprint: hash('sha256', raw, 'hex'), serial, notBefore, notAfter };
}

function invalid(why: string, cause?: unknown): IdentityError {
  return new IdentityError('CERTIFICATE_INVALID', `The certificate cannot be used: ${why}.`, { cause });
}
