// Reads the names in a certificate from outside. OpenSSL parses it (node:crypto).
//
// chain-verdict.ts decides whether the certificate is one of ours.

import { hash, X509Certificate } from 'node:crypto';
import { IdentityError } from '../errors.ts';
import { subjectAltName } from './profile.ts';
import { type LeafSpiffeId, parseSpiffeId, type SpiffeId } from './spiffe-id.ts';

/** Largest certificate, bytes of DER. */
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
 * Reads the device or daemon that a certificate names (SPIFFE X509-SVID 5.2). Runs once per connection.
 * @param certificate DER, or parsed.
 * @throws CERTIFICATE_INVALID
 */
export function readPeerCertificate(certificate: Uint8Array | X509Certificate): PeerCertificate {
  const { ca, spiffeId, ...summary } = read(certificate);
  if (ca || spiffeId.kind === 'trust-domain') throw invalid('it is not a certificate of a device or daemon');
  return { ...summary, spiffeId };
}

/**
 * Reads the facts in the certificate of a root or issuing CA, without checking the signature.
 * @throws CERTIFICATE_INVALID
 */
export function readAuthorityCertificate(certificate: Uint8Array | X509Certificate): AuthorityCertificate {
  const { ca, spiffeId, ...summary } = read(certificate);
  if (!ca || spiffeId.kind !== 'trust-domain') throw invalid('it is not a certificate of an authority');
  return { ...summary, trustDomain: spiffeId.trustDomain };
}

/** Whether the first certificate names the second as its issuer, by name and key (RFC 5280 4.2.1.1). */
export function isIssuedBy(certificate: Uint8Array, issuer: Uint8Array): boolean {
  return parseCertificate(certificate).checkIssued(parseCertificate(issuer));
}

/**
 * Parses one certificate in DER, with nothing after it.
 * @throws CERTIFICATE_INVALID
 */
export function parseCertificate(der: Uint8Array): X509Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw invalid('it is too large');
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(der);
  } catch (cause) {
    throw invalid('it cannot be parsed', cause);
  }
  // Node would also accept PEM, and ignores bytes after the certificate.
  if (!x509.raw.equals(der)) throw invalid('it contains more than the DER of a certificate');
  return x509;
}

function read(certificate: Uint8Array | X509Certificate): CertificateSummary & {
  readonly ca: boolean;
  readonly spiffeId: SpiffeId;
} {
  const x509 = certificate instanceof X509Certificate ? certificate : parseCertificate(certificate);
  const { raw, ca, validFromDate: notBefore, validToDate: notAfter } = x509;
  if (raw.length > MAX_CERTIFICATE_BYTES) throw invalid('it is too large');
  // Node shows only the first extension of a kind. A second one is forbidden (RFC 5280 4.2).
  if (raw.indexOf(subjectAltName) !== raw.lastIndexOf(subjectAltName)) {
    throw invalid('it has more than one list of alternative names');
  }
  const serial = x509.serialNumber.toLowerCase().padStart(32, '0');
  if (!/^[0-9a-f]{32}$/.test(serial)) throw invalid('its serial number does not have 128 bits');
  // For a time that OpenSSL cannot read, Node's date is uninitialised memory. Only the text shows the problem.
  const areTimes = [x509.validFrom, x509.validTo].every((text) => text.endsWith(' GMT'));
  if (!areTimes || notBefore.getTime() > notAfter.getTime()) throw invalid('its dates cannot be read');
  const spiffeId = parseSpiffeId(onlyUri(x509.subjectAltName ?? ''));
  return { fingerprint: hash('sha256', raw, 'hex'), serial, notBefore, notAfter, ca, spiffeId };
}

/**
 * @param names text in which Node quotes every value that could be mistaken for two (CVE-2021-44532). Our names need no
 *   quotes, so text with a quote, a backslash or another kind of name is refused.
 */
function onlyUri(names: string): string {
  let found: string | undefined;
  for (const name of names.split(', ')) {
    if (!/^(?:URI|DNS|IP Address):[\w.:/-]+$/.test(name)) throw invalid('its names cannot be read');
    if (!name.startsWith('URI:')) continue;
    if (found !== undefined) throw invalid('it has more than one URI name');
    found = name.slice('URI:'.length);
  }
  if (found === undefined) throw invalid('it has no URI name');
  return found;
}

/** The names of one kind, in their order, in a certificate that was read before. */
export function alternativeNames(x509: X509Certificate, kind: 'DNS' | 'IP Address'): string[] {
  const names = x509.subjectAltName?.split(', ') ?? [];
  return names.filter((name) => name.startsWith(`${kind}:`)).map((name) => name.slice(kind.length + 1));
}

function invalid(why: string, cause?: unknown): IdentityError {
  return new IdentityError('CERTIFICATE_INVALID', `The certificate cannot be used: ${why}.`, { cause });
}
