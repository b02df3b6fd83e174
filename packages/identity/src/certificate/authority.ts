// The certificate authority: facts, profile, signature. It takes public keys only, and one method per kind of
// certificate decides everything else. It holds no files and no registry: what it issued is the caller's to store.

import type { X509Certificate } from 'node:crypto';
import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import {
  type IssuedCertificate,
  MIN_LIFE_MS,
  makeFacts,
  type Surroundings,
  signCertificate,
} from './issue.ts';
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
  /** The name constraint and the SPIFFE trust domain of all that the root vouches for. */
  readonly trustDomain: string;
  /** The root's own key. */
  readonly signer: CertificateSigner;
}

/**
 * A root, signed by itself.
 * @throws MESSAGE_INVALID for the trust domain or the key; CERTIFICATE_INVALID when the signer signs with another key.
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
  /** The root that signs it: certificate, DER, and key. */
  readonly root: { readonly der: Uint8Array; readonly signer: CertificateSigner };
  /** The issuing CA's own key, SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/**
 * An issuing CA, which does not outlive its root.
 * @throws CERTIFICATE_INVALID when the root's parts do not belong together, and as `makeFacts`.
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
  /** In the SPIFFE ID of each certificate. */
  readonly trustDomain: string;
  /** The root's certificate. Its key is not needed to issue. */
  readonly root: { readonly der: Uint8Array };
  /** The issuing CA: certificate, DER, and key. */
  readonly issuing: { readonly der: Uint8Array; readonly signer: CertificateSigner };
}

export class CertificateAuthority {
  readonly trustDomain: string;
  /** DER. */
  readonly rootCertificate: Uint8Array;
  /** SHA-256 of the root certificate, lower-case hex. */
  readonly rootFingerprint: string;
  /** What follows a leaf in its chain, DER. */
  readonly issuingCertificate: Uint8Array;
  readonly #issuing: CertificateSummary;
  readonly #issuer: Issuer;
  readonly #signer: CertificateSigner;
  readonly #surroundings: Surroundings;

  /** @throws CERTIFICATE_INVALID when the parts do not belong together. */
  constructor(options: CertificateAuthorityOptions) {
    const { trustDomain, root, issuing, clock, randomBytes } = options;
    const rootX509 = parseCertificate(root.der);
    const issuingX509 = parseCertificate(issuing.der);
    const rootSummary = readAuthorityCertificate(rootX509);
    if (rootSummary.trustDomain !== trustDomain) throw unfit('its root is of another trust domain');
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
   * @param request.tlsKey SubjectPublicKeyInfo; that the device holds its private key was proven before.
   * @param request.dnsNames default none.
   * @param request.lifeMs MIN_DEVICE_LIFE_MS to MAX_DEVICE_LIFE_MS, DEVICE_LIFE_MS when absent; never past the issuer.
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
   * @param request `dnsNames` and `ipAddresses` beside the trust domain and `localhost`, which every daemon has.
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

  /** The roots to trust, DER. */
  trustBundle(): Uint8Array[] {
    return [this.rootCertificate];
  }
}

function checkSignedBy(certificate: X509Certificate, issuer: X509Certificate): void {
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
    throw unfit('a certificate was not signed by its issuer');
  }
}

/** What is issued repeats the issuer's name and key id, so its own certificate must hold exactly these, and this key. */
function checkDescribedBy(x509: X509Certificate, issuer: Issuer, publicKey: Uint8Array): CertificateSummary {
  const summary = readAuthorityCertificate(x509);
  const { raw } = x509;
  const described = [issuer.name, issuer.keyId, publicKey].every((part) => raw.includes(Buffer.from(part)));
  if (!described || summary.trustDomain !== issuer.trustDomain) {
    throw unfit('a certificate is of another key or trust domain');
  }
  return summary;
}

const unfit = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate authority cannot be used: ${why}.`);
