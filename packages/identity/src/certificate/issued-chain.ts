// The checks of a device on a certificate that it has received: the certificate is for this device, and leads to a
// trusted root.

import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { ChainJudge } from './chain-verdict.ts';
import type { TlsKey } from './tls-key.ts';

export interface ExpectedChain {
  readonly deviceId: DeviceId;
  readonly trustDomain: string;
  /** The key that the device asked to certify. */
  readonly tlsKey: TlsKey;
  /** The roots that came with it, over a channel that the present roots have verified; DER. */
  readonly trustBundle: readonly Uint8Array[];
}

/** Most roots that a device accepts from its daemon: a rotation has two. */
const maxRoots = 8;

/**
 * @param chain leaf, then issuing CA; DER.
 * @throws CERTIFICATE_INVALID
 */
export function checkIssuedChain(chain: readonly Uint8Array[], expected: ExpectedChain): void {
  const { deviceId, trustDomain, tlsKey, trustBundle } = expected;
  if (trustBundle.length > maxRoots) throw unusable(`it came with ${trustBundle.length} roots`);
  const judge = new ChainJudge(trustBundle);
  // From the next connection on, the device trusts only these roots.
  if (judge.trustDomains.some((each) => each !== trustDomain))
    throw unusable('one of its roots has another trust domain');
  const { leaf, certificate } = judge.judge(chain);
  const { spiffeId } = leaf;
  if (spiffeId.kind !== 'device' || spiffeId.id !== deviceId || spiffeId.trustDomain !== trustDomain)
    throw unusable('it names another device');
  if (!tlsKey.isKeyOf(certificate)) throw unusable('it certifies another key');
}

const unusable = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate from the daemon cannot be used: ${why}.`);
