// The certificate authority: facts, profile, signature. It takes only public keys; one method for each kind of
// certificate decides everything else. It has no files and no registry: the caller stores the certificates.

import type { X509Certificate } from 'node:crypto';
import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { MIN_LIFE_MS } from '../limits.ts';
import { type IssuedCertificate, makeFacts, type Surroundings, signCertificate } from './issue.ts';
import { type CertificateSummary, parseCertificate, readAuthorityCertificate } from './peer-certificate.ts';
import {
  daemonProfile,
  describeIssuer,
  deviceProfile,
  type Issuer,
  issuingProfile,
  rootProfile,
} from './profile.ts';
import type { CertificateSigner } from './signer.ts';
import { parseTrustDomain } from './spiffe-id.ts';

const dayMs = 24 * 3600 * 1000;
export const ROOT_LIFE_MS = 3650 * dayMs;
export const ISSUING_LIFE_MS = 90 * dayMs;
export const DAEMON_LIFE_MS = 7 * dayMs;
export const DEVICE_LIFE_MS = dayMs;
export const MIN_DEVICE_LIFE_MS = MIN_LIFE_MS;
export const MAX_DEVICE_LIFE_MS = 30 * dayMs;

export interface RootOptions extends Surroundings {
  /** The name constraint and the SPIFFE trust domain of every certificate under the root. */
  readonly trustDomain: string;
  /** The root's own key. */
  readonly signer: CertificateSigner;
}

/**
 * Makes a self-signed root.
 * @throws MESSAGE_INVALID for the trust domain or the key; CERTIFICATE_INVALID if the signer uses another key.
 */
export async function makeRoot(options: RootOptions): Promise<IssuedCertificate> {
  const { signer } = options;
  const facts = makeFacts(options, signer.publicKey, ROOT_LIFE_MS, undefined);
  const self = describeIssuer('root', parseTrustDomain(options.trustDomain), signer.publicKey);
  const root = await signCertificate(rootProfile(self, facts), facts, signer);
  const x509 = parseCertificate(root.der);
  checkSignedBy(x509, x509);
  return root;
}

export interface IssuingOptions extends Surroundings {
  /** The root's trust domain. */
  readonly trustDomain: string;
  /** The root that signs the issuing CA: its certificate (DER) and key. */
  readonly root: { readonly der: Uint8Array; readonly signer: CertificateSigner };
  /** The issuing CA's own key, SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/**
 * Makes an issuing CA, which does not outlive its root.
 * @throws CERTIFICATE_INVALID if the root's certificate and key do not match, and as `makeFacts`.
 */
export async function makeIssuing(options: IssuingOptions): Promise<IssuedCertificate> {
  const { root, trustDomain } = options;
  const rootX509 = parseCertificate(root.der);
  const issuer = describeIssuer('root', trustDomain, root.signer.publicKey);
  const rootSummary = checkDescribedBy(rootX509, issuer, root.signer.publicKey);
  const facts = makeFacts(options, options.publicKey, ISSUING_LIFE_MS, rootSummary);
  const issuing = await signCertificate(issuingProfile(issuer, facts), facts, root.signer);
  checkSignedBy(parseCertificate(issuing.der), rootX509);
  return issuing;
}

export interface CertificateAuthorityOptions extends Surroundings {
  /** The trust domain in the SPIFFE ID of each certificate. */
  readonly trustDomain: string;
  /** The root's certificate. Issuing does not need its key. */
  readonly root: { readonly der: Uint8Array };
  /** The issuing CA: its certificate (DER) and key. */
  readonly issuing: { readonly der: Uint8Array; readonly signer: CertificateSigner };
}

export class CertificateAuthority {
  readonly trustDomain: string;
  /** DER. */
  readonly rootCertificate: Uint8Array;
  /** SHA-256 of the root certificate, lower-case hex. */
  readonly rootFingerprint: string;
  /** The certificates after the leaf in a chain, DER. */
  readonly issuingCertificate: Uint8Array;
  readonly #issuing: CertificateSummary;
  readonly #issuer: Issuer;
  readonly #signer: CertificateSigner;
  readonly #surroundings: Surroundings;

  /** @throws CERTIFICATE_INVALID if the certificates and keys do not match. */
  constructor(options: CertificateAuthorityOptions) {
    const { trustDomain, root, issuing, clock, randomBytes } = options;
    const rootX509 = parseCertificate(root.der);
    const issuingX509 = parseCertificate(issuing.der);
    const rootSummary = readAuthorityCertificate(rootX509);
    if (rootSummary.trustDomain !== trustDomain) throw unfit('its root has another trust domain');
    checkSignedBy(rootX509, rootX509);
    checkSignedBy(issuingX509, rootX509);

    this.#signer = issuing.signer;
    this.#issuer = describeIssuer('issuing', trustDomain, issuing.signer.publicKey);
    this.#issuing = checkDescribedBy(issuingX509, this.#issuer, issuing.signer.publicKey);
    this.#surroundings = { clock, randomBytes };
    this.trustDomain = trustDomain;
    this.rootCertificate = root.der;
    this.rootFingerprint = rootSummary.fingerprint;
    this.issuingCertificate = issuing.der;
  }

  /**
   * @param request.tlsKey SubjectPublicKeyInfo; the device has already proven that it has the private key.
   * @param request.dnsNames default none.
   * @param request.lifeMs MIN_DEVICE_LIFE_MS to MAX_DEVICE_LIFE_MS; default DEVICE_LIFE_MS. The issuer's end limits it.
   * @throws as `makeFacts`; MESSAGE_INVALID for a name that a device cannot have.
   */
  async issueDevice(request: {
    readonly deviceId: DeviceId;
    readonly tlsKey: Uint8Array;
    readonly dnsNames?: readonly string[];
    readonly lifeMs?: number;
  }): Promise<IssuedCertificate> {
    const { deviceId, tlsKey, dnsNames = [], lifeMs = DEVICE_LIFE_MS } = request;
    if (!(lifeMs >= MIN_DEVICE_LIFE_MS && lifeMs <= MAX_DEVICE_LIFE_MS)) {
      throw new TypeError('a device certificate lives from one minute to 30 days');
    }
    const facts = makeFacts(this.#surroundings, tlsKey, lifeMs, this.#issuing);
    const tbs = deviceProfile(this.#issuer, { ...facts, deviceId, dnsNames });
    return signCertificate(tbs, facts, this.#signer);
  }

  /**
   * @param request `dnsNames` and `ipAddresses` in addition to the trust domain and `localhost`.
   * @throws as `makeFacts`; MESSAGE_INVALID for a name that cannot stand in a certificate.
   */
  async issueDaemon(request: {
    readonly daemonId: Ulid;
    readonly tlsKey: Uint8Array;
    readonly dnsNames: readonly string[];
    readonly ipAddresses: readonly string[];
  }): Promise<IssuedCertificate> {
    const { daemonId, tlsKey, dnsNames, ipAddresses } = request;
    const facts = makeFacts(this.#surroundings, tlsKey, DAEMON_LIFE_MS, this.#issuing);
    const tbs = daemonProfile(this.#issuer, { ...facts, daemonId, dnsNames, ipAddresses });
    return signCertificate(tbs, facts, this.#signer);
  }

  /** The trusted roots, DER. */
  trustBundle(): Uint8Array[] {
    return [this.rootCertificate];
  }
}

function checkSignedBy(certificate: X509Certificate, issuer: X509Certificate): void {
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
    throw unfit('a certificate was not signed by its issuer');
  }
}

/**
 * Issued certificates repeat the issuer's name and key id, so the issuer's own certificate must have these and this
 * key.
 */
function checkDescribedBy(x509: X509Certificate, issuer: Issuer, publicKey: Uint8Array): CertificateSummary {
  const summary = readAuthorityCertificate(x509);
  const { raw } = x509;
  const described = [issuer.name, issuer.keyId, publicKey].every((part) => raw.includes(Buffer.from(part)));
  if (!described || summary.trustDomain !== issuer.trustDomain) {
    throw unfit('a certificate has another key or trust domain');
  }
  return summary;
}

const unfit = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate authority cannot be used: ${why}.`);
