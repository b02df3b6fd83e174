// What a device checks before it relies on a certificate it was handed: that it is its own, and leads to a root it
// trusts.

import type { X509Certificate } from 'node:crypto';
import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { parseCertificate, readAuthorityCertificate, readPeerCertificate } from './peer-certificate.ts';
import type { TlsKey } from './tls-key.ts';

export interface ExpectedChain {
  readonly deviceId: DeviceId;
  readonly trustDomain: string;
  /** The key that was to be certified. */
  readonly tlsKey: TlsKey;
  /** The roots that came with it, over a channel that what is trusted already vouches for; DER. */
  readonly trustBundle: readonly Uint8Array[];
}

/** Roots that a device takes from its daemon: a rotation has two. */
const maxRoots = 8;

/**
 * @param chain leaf, then issuing CA; DER.
 * @throws CERTIFICATE_INVALID
 */
export function checkIssuedChain(chain: readonly Uint8Array[], expected: ExpectedChain): void {
  const [leafDer, issuingDer, ...rest] = chain;
  if (!leafDer || !issuingDer || rest.length > 0) throw unusable('the chain is not a leaf and its issuer');
  const leaf = parseCertificate(leafDer);
  const issuing = parseCertificate(issuingDer);
  const { spiffeId } = readPeerCertificate(leaf);
  if (
    spiffeId.kind !== 'device' ||
    spiffeId.id !== expected.deviceId ||
    spiffeId.trustDomain !== expected.trustDomain
  ) {
    throw unusable('it names another device');
  }
  if (!expected.tlsKey.isKeyOf(leaf)) throw unusable('it certifies another key');
  readAuthorityCertificate(issuing);
  const roots = readTrustBundle(expected);
  const signed = leaf.verify(issuing.publicKey) && roots.some((root) => issuing.verify(root.publicKey));
  if (!signed) throw unusable('it does not lead to a root that came with it');
}

/** From the next connection on, the device trusts these and no others. */
function readTrustBundle({ trustBundle, trustDomain }: ExpectedChain): X509Certificate[] {
  if (trustBundle.length > maxRoots) throw unusable(`it came with ${trustBundle.length} roots`);
  const roots = trustBundle.map(parseCertificate);
  if (roots.some((root) => readAuthorityCertificate(root).trustDomain !== trustDomain))
    throw unusable('it came with a root of another trust domain');
  return roots;
}

const unusable = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate from the daemon cannot be used: ${why}.`);
