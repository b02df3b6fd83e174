// What a device checks before it relies on a certificate it was handed: that it is its own, and leads to a root it
// trusts.

import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { ChainJudge } from './chain-verdict.ts';
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
  const { deviceId, trustDomain, tlsKey, trustBundle } = expected;
  if (trustBundle.length > maxRoots) throw unusable(`it came with ${trustBundle.length} roots`);
  const judge = new ChainJudge(trustBundle);
  // From the next connection on, the device trusts these and no others.
  if (judge.trustDomains.some((each) => each !== trustDomain))
    throw unusable('it came with a root of another trust domain');
  const { leaf, certificate } = judge.judge(chain);
  const { spiffeId } = leaf;
  if (spiffeId.kind !== 'device' || spiffeId.id !== deviceId || spiffeId.trustDomain !== trustDomain)
    throw unusable('it names another device');
  if (!tlsKey.isKeyOf(certificate)) throw unusable('it certifies another key');
}

const unusable = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate from the daemon cannot be used: ${why}.`);
