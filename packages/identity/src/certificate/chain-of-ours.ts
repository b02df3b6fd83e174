// The verdict of chain-verdict.ts about a chain, for a device without Node: the same two halves, with the reader of
// own-certificate.ts and the signatures by WebCrypto. Dates are returned and not judged.

import { IdentityError } from '../errors.ts';
import { sameBytes } from '../same-bytes.ts';
import { bitString, sequence } from './der.ts';
import { type OwnCertificate, readOwnCertificate } from './own-certificate.ts';
import {
  daemonProfile,
  describeIssuer,
  deviceProfile,
  type Issuer,
  issuingProfile,
  rootProfile,
  signatureAlgorithm,
} from './profile.ts';
import { type LeafSpiffeId, parseSpiffeId } from './spiffe-id.ts';

/** ECDSA P-256 with SHA-256: r and s, 64 bytes. */
export type VerifyP256 = (
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
) => boolean | Promise<boolean>;

/** A chain that is ours in every respect except dates. */
export interface ChainOfOurs {
  readonly leaf: LeafSpiffeId;
  /** The leaf's SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** Of the roots that it was judged by. */
  readonly trustDomains: readonly string[];
  /** The period in which every certificate of the chain is valid, including the root. */
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const maxCertificates = 3;

/**
 * @param roots the trusted ones, DER.
 * @param chain leaf, issuing CA and, optionally, the root; DER.
 * @throws CERTIFICATE_INVALID
 */
export async function judgeChainOfOurs(
  verify: VerifyP256,
  roots: readonly Uint8Array[],
  chain: readonly Uint8Array[],
): Promise<ChainOfOurs> {
  const [leafDer, issuingDer, rootDer] = chain;
  if (!leafDer || !issuingDer || chain.length > maxCertificates)
    throw foreign('its chain is not a leaf with its issuing CA');
  const trusted = await Promise.all(roots.map((der) => readRoot(verify, der)));
  const issuing = readOwnCertificate(issuingDer);
  const root = trusted.find((each) => isOfForm(issuing, () => issuingProfile(each.issuer, issuing)));
  if (!root) throw foreign('no trusted root signed its issuing CA');
  if (rootDer && !sameBytes(rootDer, root.der)) throw foreign('its chain ends with another root');
  await mustBeSigned(verify, issuing, root.publicKey);
  const leaf = readOwnCertificate(leafDer);
  const spiffeId = parseSpiffeId(leaf.uri);
  if (spiffeId.kind === 'trust-domain') throw foreign('it is not a certificate of a device or daemon');
  const issuer = describeIssuer('issuing', root.issuer.trustDomain, issuing.publicKey);
  if (!isOfForm(leaf, () => profileOf(issuer, leaf, spiffeId)))
    throw foreign('its encoding differs from ours');
  await mustBeSigned(verify, leaf, issuing.publicKey);
  return {
    leaf: spiffeId,
    publicKey: leaf.publicKey,
    trustDomains: trusted.map((each) => each.issuer.trustDomain),
    notBefore: new Date(Math.max(+leaf.notBefore, +issuing.notBefore, +root.notBefore)),
    notAfter: new Date(Math.min(+leaf.notAfter, +issuing.notAfter, +root.notAfter)),
  };
}

/** @returns its trust domain. @throws CERTIFICATE_INVALID for anything but a root that this project has made. */
export async function trustDomainOfRoot(verify: VerifyP256, der: Uint8Array): Promise<string> {
  return (await readRoot(verify, der)).issuer.trustDomain;
}

async function readRoot(
  verify: VerifyP256,
  der: Uint8Array,
): Promise<OwnCertificate & { readonly issuer: Issuer }> {
  const root = readOwnCertificate(der);
  const { trustDomain } = parseSpiffeId(root.uri);
  const issuer = describeIssuer('root', trustDomain, root.publicKey);
  if (!isOfForm(root, () => rootProfile(issuer, root))) throw foreign('its encoding differs from ours');
  await mustBeSigned(verify, root, root.publicKey);
  return { ...root, issuer };
}

function profileOf(issuer: Issuer, leaf: OwnCertificate, { kind, id }: LeafSpiffeId): Uint8Array {
  if (kind === 'device') return deviceProfile(issuer, { ...leaf, deviceId: id });
  // The profile writes the trust domain and `localhost` itself.
  return daemonProfile(issuer, { ...leaf, daemonId: id, dnsNames: leaf.dnsNames.slice(2) });
}

/** Whether our encoder writes exactly this, with any signature. */
function isOfForm({ der, tbs }: OwnCertificate, write: () => Uint8Array): boolean {
  let written: Uint8Array;
  try {
    written = write();
  } catch {
    // What our encoder cannot write is not ours.
    return false;
  }
  // The outer header has 4 bytes for 256 bytes or more, that of a short BIT STRING and its unused bits 3.
  const signature = der.subarray(4 + tbs.length + signatureAlgorithm.length + 3);
  return (
    sameBytes(written, tbs) && sameBytes(der, sequence(written, signatureAlgorithm, bitString(signature)))
  );
}

async function mustBeSigned(
  verify: VerifyP256,
  { tbs, signature }: OwnCertificate,
  issuer: Uint8Array,
): Promise<void> {
  let isSigned = false;
  try {
    isSigned = await verify(issuer, tbs, signature);
  } catch {
    // The key of a foreign root may not be a point of the curve.
  }
  if (!isSigned) throw foreign('its signature is not that of its issuer');
}

const foreign = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate is not one of ours: ${why}.`);
