// The checks of a device on a certificate that it has received: the certificate is for this device, and leads to a
// trusted root.

import type { DeviceCrypto } from '../crypto/port.ts';
import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { sameBytes } from '../same-bytes.ts';

export interface ExpectedChain {
  readonly deviceId: DeviceId;
  readonly trustDomain: string;
  /** The key that the device asked to certify. */
  readonly tlsKey: { readonly publicKey: Uint8Array };
  /** The roots that came with it, over a channel that the present roots have verified; DER. */
  readonly trustBundle: readonly Uint8Array[];
}

/** Most roots that a device accepts from its daemon: a rotation has two. */
const maxRoots = 8;

/**
 * @param chain leaf, then issuing CA; DER.
 * @throws CERTIFICATE_INVALID
 */
export async function checkIssuedChain(
  crypto: DeviceCrypto,
  chain: readonly Uint8Array[],
  expected: ExpectedChain,
): Promise<void> {
  const { deviceId, trustDomain, tlsKey, trustBundle } = expected;
  if (trustBundle.length > maxRoots) throw unusable(`it came with ${trustBundle.length} roots`);
  const { leaf, publicKey, trustDomains } = await crypto.judgeChain(trustBundle, chain);
  // From the next connection on, the device trusts only these roots.
  if (trustDomains.some((each) => each !== trustDomain))
    throw unusable('one of its roots has another trust domain');
  if (leaf.kind !== 'device' || leaf.id !== deviceId || leaf.trustDomain !== trustDomain)
    throw unusable('it names another device');
  if (!sameBytes(publicKey, tlsKey.publicKey)) throw unusable('it certifies another key');
}

const unusable = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate from the daemon cannot be used: ${why}.`);
