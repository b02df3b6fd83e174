// The check of an identity key from outside.

import { ed25519 } from '@noble/curves/ed25519.js';
import { IdentityError } from '../errors.ts';

/**
 * Accepts only the canonical encoding of a point (RFC 8032 5.1.3) that is not of small order: for a point of small
 * order, anybody can forge signatures.
 * @param key raw Ed25519, 32 bytes.
 * @throws MESSAGE_INVALID
 */
export function checkIdentityKey(key: Uint8Array): void {
  try {
    const point = ed25519.Point.fromBytes(key, false);
    if (point.isSmallOrder()) throw new RangeError('a point of small order');
  } catch (cause) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      'The identity key must be an Ed25519 public key: 32 bytes, canonical, not of small order.',
      { cause },
    );
  }
}
