// The one verdict about a peer's chain, used at both ends of a connection. It covers everything except dates, which it
// returns separately.
//
// OpenSSL reports only its last verification error, and it checks dates last: one expired certificate hides a bad
// signature, an untrusted root, a path that is too long, a wrong usage or an unknown critical extension. So its result
// is not enough. Our verdict has two halves:
//
// - The signatures lead from the leaf through one issuing CA to a trusted root. node:crypto verifies them.
// - Each certificate equals, byte for byte, the output of our own encoder for its facts (profile.ts). So no code has to
//   read key usages, path lengths or critical extensions: a certificate that differs in any of them is not ours.

import { hash, type X509Certificate } from 'node:crypto';
import { IdentityError } from '../errors.ts';
import { bitString, sequence } from './der.ts';
import {
  type AuthorityCertificate,
  alternativeNames,
  type CertificateSummary,
  type PeerCertificate,
  parseCertificate,
  readAuthorityCertificate,
  readPeerCertificate,
} from './peer-certificate.ts';
import {
  daemonProfile,
  describeIssuer,
  deviceProfile,
  type Issuer,
  issuingProfile,
  rootProfile,
  signatureAlgorithm,
} from './profile.ts';
import { P256_SPKI_BYTES, spkiPrefix } from './tls-key.ts';

/** Most certificates in a chain: leaf, issuing CA and, optionally, root. */
export const MAX_CHAIN_CERTIFICATES = 3;
/** Largest chain, bytes of DER. */
export const MAX_CHAIN_BYTES = 16 * 1024;
/** Number of verified issuing CAs to remember, in addition to those known from the start. */
const maxRemembered = 64;
/** Number of verified leaves to remember, so that a reconnection costs only a hash. A few hundred bytes each. */
const maxLeaves = 8_192;

/** 16 bytes, the first 0x01 to 0x7f (issue.ts). */
const ourSerial = /^(?:0[1-9a-f]|[1-7][0-9a-f])[0-9a-f]{30}$/;

/** A chain that is ours in every respect except dates. */
export interface JudgedChain {
  readonly leaf: PeerCertificate;
  /** The leaf, parsed. */
  readonly certificate: X509Certificate;
  /** The period in which every certificate of the chain is valid, including the root. */
  readonly notBefore: Date;
  readonly notAfter: Date;
}

interface Authority extends AuthorityCertificate {
  readonly x509: X509Certificate;
  /** The facts that its certificates repeat. */
  readonly issuer: Issuer;
}

type IssuingAuthority = Authority & { readonly root: Authority };

export class ChainJudge {
  readonly #roots: readonly Authority[];
  readonly #known: readonly IssuingAuthority[];
  /** By fingerprint; holds only certificates that a root has signed. */
  readonly #verified = new Map<string, IssuingAuthority>();
  /** By fingerprint; holds only certificates that a known issuing CA has signed. */
  readonly #leaves = new Map<string, PeerCertificate>();

  /**
   * @param roots the trusted roots, DER.
   * @param issuing known issuing CAs of these roots, DER.
   * @throws CERTIFICATE_INVALID for a certificate that this project did not make.
   */
  constructor(roots: readonly Uint8Array[], issuing: readonly Uint8Array[] = []) {
    this.#roots = roots.map(readRoot);
    this.#known = issuing.map((der) => this.#issuingOf(der));
  }

  /** The trust domain of the roots. */
  get trustDomains(): string[] {
    return this.#roots.map(({ trustDomain }) => trustDomain);
  }

  /**
   * @param chain the chain that the peer sent: leaf, issuing CA and, optionally, the root; DER.
   * @throws CERTIFICATE_INVALID
   */
  judge(chain: readonly Uint8Array[]): JudgedChain {
    checkSize(chain);
    const [leaf, issuingDer, rootDer] = chain;
    if (!leaf || !issuingDer) throw foreign('its chain is not a leaf with its issuing CA');
    const issuing = this.#issuingOf(issuingDer);
    if (rootDer && !issuing.root.x509.raw.equals(rootDer)) throw foreign('its chain ends with another root');
    const x509 = parseCertificate(leaf);
    const judged = readLeaf(x509, issuing);
    const all = [judged, issuing, issuing.root];
    const later = (a: Date, b: Date) => (a > b ? a : b);
    const earlier = (a: Date, b: Date) => (a < b ? a : b);
    return {
      leaf: judged,
      certificate: x509,
      notBefore: all.map(({ notBefore }) => notBefore).reduce(later),
      notAfter: all.map(({ notAfter }) => notAfter).reduce(earlier),
    };
  }

  /**
   * Judges a leaf without its chain: one of the issuing CAs known from the start must have signed it.
   * @throws CERTIFICATE_INVALID
   */
  judgeLeaf(leaf: Uint8Array): PeerCertificate {
    checkSize([leaf]);
    const fingerprint = hash('sha256', leaf, 'hex');
    const verified = this.#leaves.get(fingerprint);
    if (verified) return verified;
    const x509 = parseCertificate(leaf);
    const issuing = this.#known.find((each) => x509.checkIssued(each.x509));
    if (!issuing) throw foreign('none of our issuing CAs signed it');
    const judged = readLeaf(x509, issuing);
    if (this.#leaves.size >= maxLeaves) this.#leaves.clear();
    this.#leaves.set(fingerprint, judged);
    return judged;
  }

  #issuingOf(der: Uint8Array): IssuingAuthority {
    const fingerprint = hash('sha256', der, 'hex');
    const known = this.#verified.get(fingerprint);
    if (known) return known;
    const x509 = parseCertificate(der);
    const root = this.#roots.find((each) => x509.checkIssued(each.x509));
    if (!root) throw foreign('no trusted root signed its issuing CA');
    const issuing = { ...readIssuing(x509, root), root };
    if (this.#verified.size >= maxRemembered) this.#verified.clear();
    this.#verified.set(fingerprint, issuing);
    return issuing;
  }
}

function checkSize(chain: readonly Uint8Array[]): void {
  if (chain.length > MAX_CHAIN_CERTIFICATES) throw foreign('its chain has too many certificates');
  const bytes = chain.reduce((sum, { length }) => sum + length, 0);
  if (bytes > MAX_CHAIN_BYTES) throw foreign('its chain is too large');
}

function readRoot(der: Uint8Array): Authority {
  const x509 = parseCertificate(der);
  const summary = readAuthorityCertificate(x509);
  const publicKey = publicKeyOf(x509);
  const self = describeIssuer('root', summary.trustDomain, publicKey);
  const tbs = encode(() => rootProfile(self, { ...factsOf(summary), publicKey }));
  checkCertificate(x509, tbs, x509);
  return { ...summary, x509, issuer: self };
}

function readIssuing(x509: X509Certificate, root: Authority): Authority {
  const summary = readAuthorityCertificate(x509);
  const publicKey = publicKeyOf(x509);
  const tbs = encode(() => issuingProfile(root.issuer, { ...factsOf(summary), publicKey }));
  checkCertificate(x509, tbs, root.x509);
  return { ...summary, x509, issuer: describeIssuer('issuing', summary.trustDomain, publicKey) };
}

function readLeaf(x509: X509Certificate, { issuer, x509: issuing }: Authority): PeerCertificate {
  const leaf = readPeerCertificate(x509);
  const facts = { ...factsOf(leaf), publicKey: publicKeyOf(x509) };
  const { kind, id } = leaf.spiffeId;
  const tbs = encode(() => {
    if (kind === 'device') {
      return deviceProfile(issuer, { ...facts, deviceId: id, dnsNames: alternativeNames(x509, 'DNS') });
    }
    // The profile writes the trust domain and `localhost` itself.
    const [, , ...dnsNames] = alternativeNames(x509, 'DNS');
    return daemonProfile(issuer, {
      ...facts,
      daemonId: id,
      dnsNames,
      ipAddresses: alternativeNames(x509, 'IP Address'),
    });
  });
  checkCertificate(x509, tbs, issuing);
  return leaf;
}

function factsOf({ serial, notBefore, notAfter }: CertificateSummary) {
  if (!ourSerial.test(serial)) throw foreign('its serial number is not one of ours');
  return { serial: Buffer.from(serial, 'hex'), notBefore, notAfter };
}

/**
 * Finds the first bytes that look like a P-256 key. The comparison with our encoder's output proves later that it is
 * the subject's key. The verification of a signature, or of the peer's handshake, proves that it is a point of the
 * curve.
 */
function publicKeyOf({ raw }: X509Certificate): Uint8Array {
  const at = raw.indexOf(spkiPrefix);
  if (at < 0) throw foreign('its key is not one of ours');
  return raw.subarray(at, at + P256_SPKI_BYTES);
}

/** A certificate that our encoder cannot write is not ours. */
function encode(write: () => Uint8Array): Uint8Array {
  try {
    return write();
  } catch (cause) {
    throw foreign('its encoding differs from ours', cause);
  }
}

/** Compares the form first, because that is the cheaper half. */
function checkCertificate(x509: X509Certificate, tbs: Uint8Array, issuer: X509Certificate): void {
  if (!isMadeOf(x509.raw, tbs)) throw foreign('its encoding differs from ours');
  if (!isSignedBy(x509, issuer)) throw foreign('its signature is not that of its issuer');
}

function isSignedBy(x509: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return x509.verify(issuer.publicKey);
  } catch {
    // The key of a foreign root may not be a point of the curve.
    return false;
  }
}

/** Whether this is the certificate of `tbs` (RFC 5280 4.1.1), with any signature. */
function isMadeOf(der: Buffer, tbs: Uint8Array): boolean {
  // The outer header has 4 bytes for 256 bytes or more, that of a short BIT STRING and its unused bits 3.
  const signature = der.subarray(4 + tbs.length + signatureAlgorithm.length + 3);
  return der.equals(sequence(tbs, signatureAlgorithm, bitString(signature)));
}

const foreign = (why: string, cause?: unknown) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate is not one of ours: ${why}.`, { cause });
