// The names of this system: spiffe://<trust-domain>[/device/<ulid>|/daemon/<ulid>] (SPIFFE-ID, section 2). Each
// name has one spelling and any other is invalid, so two names are equal exactly if their texts are.

import { type DeviceId, parseDeviceId, type Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { isDnsName } from './host-name.ts';

/** The device or daemon that a leaf certificate names. */
export interface LeafSpiffeId {
  readonly kind: 'device' | 'daemon';
  readonly trustDomain: string;
  readonly id: Ulid;
}

export type SpiffeId = LeafSpiffeId | { readonly kind: 'trust-domain'; readonly trustDomain: string };

const spelling = /^spiffe:\/\/([a-z0-9.-]{1,255})(?:\/(device|daemon)\/([0-9A-Z]{26}))?$/;

export const trustDomainSpiffeId = (trustDomain: string): string => `spiffe://${trustDomain}`;

export const daemonSpiffeId = (trustDomain: string, id: Ulid): string =>
  `spiffe://${trustDomain}/daemon/${id}`;

export const deviceSpiffeId = (trustDomain: string, id: DeviceId): string =>
  `spiffe://${trustDomain}/device/${id}`;

/** @throws CERTIFICATE_INVALID for text that none of the three functions above writes. */
export function parseSpiffeId(uri: string): SpiffeId {
  const [, trustDomain, kind, id] = spelling.exec(uri) ?? [];
  try {
    const domain = parseTrustDomain(trustDomain ?? '');
    if (kind === undefined) return { kind: 'trust-domain', trustDomain: domain };
    return { kind: kind as LeafSpiffeId['kind'], trustDomain: domain, id: parseDeviceId(id!) };
  } catch (cause) {
    throw new IdentityError(
      'CERTIFICATE_INVALID',
      'The certificate does not have a SPIFFE ID of this kind.',
      {
        cause,
      },
    );
  }
}

/**
 * SPIFFE-ID 2.1 allows `_` and any dots. Here a trust domain is also a DNS name, because it is a DNS SAN of every
 * daemon.
 * @throws MESSAGE_INVALID
 */
export function parseTrustDomain(text: string): string {
  if (!isDnsName(text)) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      'A trust domain is a lower-case DNS name of at most 253 characters, such as palyra-abcdefghij.internal.',
    );
  }
  return text;
}

/** @param random 10 bytes from a CSPRNG; 50 bits of them go into the name `palyra-<10 base32 characters>.internal`. */
export function makeTrustDomain(random: Uint8Array): string {
  if (random.length !== 10) throw new TypeError('makeTrustDomain takes 10 random bytes');
  const name = Array.from(random, (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte & 31]).join('');
  return `palyra-${name}.internal`;
}
