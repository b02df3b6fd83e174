// A device id is a canonical ULID: 26 upper-case Crockford base32 characters, 48 bits of time, 80 of randomness.

import { clockWrong } from './clock.ts';
import { IdentityError } from './errors.ts';

declare const brand: unique symbol;
export type Ulid = string & { readonly [brand]: 'ulid' };
/** A device's id, valid by construction. */
export type DeviceId = Ulid;

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const canonical = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** @throws DEVICE_ID_INVALID for anything but the canonical form: no lower case, no I, L, O, U, no overflow. */
export function parseDeviceId(text: string): DeviceId {
  if (!isUlid(text)) {
    throw new IdentityError(
      'DEVICE_ID_INVALID',
      'A device id is 26 characters of 0-9 A-Z without I, L, O and U, the first at most 7.',
    );
  }
  return text;
}

export const isUlid = (text: string): text is Ulid => canonical.test(text);

/**
 * @param now milliseconds since 1970 become its first 10 characters.
 * @param random 10 bytes from a CSPRNG become the rest.
 * @throws CLOCK_WRONG for a time that has no such characters.
 */
export function makeUlid(now: Date, random: Uint8Array): Ulid {
  if (random.length !== 10) throw new TypeError('makeUlid takes 10 random bytes');
  const ms = now.getTime();
  if (!(ms >= 0 && ms < 2 ** 48)) throw clockWrong(now);
  let bits = BigInt(ms);
  for (const byte of random) bits = (bits << 8n) | BigInt(byte);
  let text = '';
  for (let shift = 125n; shift >= 0n; shift -= 5n) text += alphabet[Number((bits >> shift) & 31n)];
  return text as Ulid;
}
