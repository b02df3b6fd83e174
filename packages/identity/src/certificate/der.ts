// A DER encoder for the four certificate profiles and the revocation list (ITU-T X.690; RFC 5280 4.1). It only writes;
// node:crypto reads. Every function returns one complete element, so calls nest as in ASN.1. It runs in
// browsers as well.

const encoder = new TextEncoder();

/** One element: tag, length in the shortest form (X.690 10.1), contents. */
function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of contents) length += part.length;
  let at = headingBytes(length);
  const out = new Uint8Array(at + length);
  writeHeading(out, tag, length);
  for (const part of contents) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function headingBytes(length: number): number {
  if (length > 0xffff_ffff) throw new TypeError('an element holds at most 4 GiB');
  return length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x1_0000 ? 4 : length < 0x100_0000 ? 5 : 6;
}

function writeHeading(out: Uint8Array, tag: number, length: number): void {
  const bytes = headingBytes(length) - 2;
  out[0] = tag;
  if (bytes === 0) out[1] = length;
  else {
    out[1] = 0x80 | bytes;
    for (let at = 1 + bytes, rest = length; at > 1; at -= 1, rest = Math.floor(rest / 256)) out[at] = rest;
  }
}

/** Tag and length of a SEQUENCE with too many members for one call; the members follow. */
export function sequenceHeading(length: number): Uint8Array {
  const out = new Uint8Array(headingBytes(length));
  writeHeading(out, 0x30, length);
  return out;
}

/** A SEQUENCE of a few members. A call takes at most about ten thousand arguments. */
export const sequence = (...members: readonly Uint8Array[]): Uint8Array => element(0x30, ...members);

/** A SET of one member. More members would have to be sorted (X.690 11.6). */
export const setOf = (member: Uint8Array): Uint8Array => element(0x31, member);

export const octetString = (bytes: Uint8Array): Uint8Array => element(0x04, bytes);

/** @param unused number of unused bits at the end; a named bit list has no zero bits at its end (X.690 11.2.2). */
export const bitString = (bytes: Uint8Array, unused = 0): Uint8Array =>
  element(0x03, Uint8Array.of(unused), bytes);

export const utf8String = (text: string): Uint8Array => element(0x0c, encoder.encode(text));

export const booleanTrue: Uint8Array = element(0x01, Uint8Array.of(0xff));

/** Context tag [n] around whole elements. */
export const explicit = (n: number, inner: Uint8Array): Uint8Array => element(0xa0 | n, inner);

/** Context tag [n] in place of the tag of a primitive type; text becomes its bytes. */
export const implicit = (n: number, contents: Uint8Array | string): Uint8Array =>
  element(0x80 | n, typeof contents === 'string' ? encoder.encode(contents) : contents);

/** @param magnitude a non-negative number, most significant byte first; leading zeros are ignored. */
export function integer(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length && magnitude[start] === 0) start += 1;
  const digits = magnitude.subarray(start);
  const needsZero = digits.length === 0 || digits[0]! >= 0x80;
  return needsZero ? element(0x02, Uint8Array.of(0), digits) : element(0x02, digits);
}

/** @param dotted such as `2.5.29.17`. */
export function objectIdentifier(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first! * 40 + second!, ...rest]) {
    const groups = [arc & 0x7f];
    for (let high = arc >>> 7; high > 0; high >>>= 7) groups.unshift(0x80 | (high & 0x7f));
    bytes.push(...groups);
  }
  return element(0x06, Uint8Array.from(bytes));
}

/** UTCTime to the end of 2049, GeneralizedTime from 2050 on, whole seconds, `Z` (RFC 5280 4.1.2.5). */
export function time(instant: Date): Uint8Array {
  const year = instant.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw new TypeError('a certificate is dated from 1950 to 9999');
  const isLong = year >= 2050;
  const pairs = [
    ...(isLong ? [Math.floor(year / 100)] : []),
    ...[year % 100, instant.getUTCMonth() + 1, instant.getUTCDate()],
    ...[instant.getUTCHours(), instant.getUTCMinutes(), instant.getUTCSeconds()],
  ];
  const text = new Uint8Array(pairs.length * 2 + 1);
  let at = 0;
  for (const pair of pairs) {
    text[at++] = 0x30 + Math.floor(pair / 10);
    text[at++] = 0x30 + (pair % 10);
  }
  text[at] = 0x5a;
  return element(isLong ? 0x18 : 0x17, text);
}
