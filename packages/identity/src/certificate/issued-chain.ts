// What a device checks before it relies on a certificate it was handed: that it is its own, and leads to a root it
// trusts.

import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { ChainJudge } from './chain-verdict.ts';
import { parseCertificate, readAuthorityCertificate } from './peer-certificate.ts';
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
  checkTrustBundle(expected);
  const { spiffeId } = new ChainJudge(expected.trustBundle).judge(chain).leaf;
  if (
    spiffeId.kind !== 'device' ||
    spiffeId.id !== expected.deviceId ||
    spiffeId.trustDomain !== expected.trustDomain
  ) {
    throw unusable('it names another device');
  }
  if (!expected.tlsKey.isKeyOf(parseCertificate(chain[0]!))) throw unusable('it certifies another key');
}

/** From the next connection on, the device trusts these and no others. */
function checkTrustBundle({ trustBundle, trustDomain }: ExpectedChain): void {
  if (trustBundle.length > maxRoots) throw unusable(`it came with ${trustBundle.length} roots`);
  if (trustBundle.some((root) => readAuthorityCertificate(root).trustDomain !== trustDomain))
    throw unusable('it came with a root of another trust domain');
}

const unusable = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate from the daemon cannot be used: ${why}.`);
