// QUIC's variable-length integer (RFC 9000 16).

import { IdentityError } from '@palyra/identity/portable';

const maxVarint = 0x3fff_ffff;

/** Encodes in one, two or four bytes. The eight-byte form is never needed. */
export function encodeVarint(value: number): Uint8Array {
  if (value < 0x40) return Uint8Array.of(value);
  if (value < 0x4000) return Uint8Array.of(0x40 | (value >> 8), value & 0xff);
  if (!(value <= maxVarint)) throw new TypeError(`${value} is too large for a frame`);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value + 0x8000_0000);
  return bytes;
}

/** Undefined when the bytes end within the number. @throws MESSAGE_TOO_LARGE for the eight-byte form. */
export function decodeVarint(bytes: Uint8Array, at: number): { value: number; next: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const size = 1 << (first >> 6);
  if (size === 8) throw new IdentityError('MESSAGE_TOO_LARGE', 'A length or number above 2^30.');
  if (at + size > bytes.length) return undefined;
  let value = first & 0x3f;
  for (let next = at + 1; next < at + size; next++) value = value * 256 + bytes[next]!;
  return { value, next: at + size };
}
