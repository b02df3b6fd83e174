// Reads the facts of a certificate that this project has made. Runs without Node, for browsers. It
// judges nothing. chain-of-ours.ts encodes the facts again and compares every byte, so a certificate that this reader
// misunderstands is refused.

import { byteText } from '../byte-text.ts';
import { IdentityError } from '../errors.ts';
import { sameBytes } from '../same-bytes.ts';
import { integer, sequence } from './der.ts';

/** Largest certificate of ours, bytes of DER. */
const maxBytes = 16 * 1024;
const spkiBytes = 91;
const serialBytes = 16;
const signatureBytes = 64;

export interface OwnCertificate {
  readonly der: Uint8Array;
  /** The bytes that are signed. */
  readonly tbs: Uint8Array;
  /** 16 bytes. */
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, 91 bytes. */
  readonly publicKey: Uint8Array;
  readonly uri: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** r and s, 64 bytes. */
  readonly signature: Uint8Array;
}

/** @throws CERTIFICATE_INVALID */
export function readOwnCertificate(der: Uint8Array): OwnCertificate {
  if (der.length > maxBytes) throw unreadable('it is too large');
  const [whole] = elementsOf(der, 1);
  const [tbs, , signature] = elementsOf(whole!.contents, 3);
  const [, serial, , , validity, , spki, extensions] = elementsOf(tbs!.contents, 8);
  const [notBefore, notAfter] = elementsOf(validity!.contents, 2);
  const [list] = elementsOf(extensions!.contents, 1);
  const [, names] = elementsOf(elementsOf(list!.contents).at(-1)!.contents, 2);
  const [inner] = elementsOf(names!.contents, 1);
  const alternatives = elementsOf(inner!.contents);
  const textsOf = (tag: number) =>
    alternatives.filter((each) => each.tag === tag).map(({ contents }) => byteText(contents));
  const [uri, ...more] = textsOf(0x86);
  if (uri === undefined || more.length > 0) throw unreadable('it does not have exactly one URI name');
  const [first = 0] = serial!.contents;
  if (serial!.contents.length !== serialBytes || first < 0x01 || first > 0x7f)
    throw unreadable('its serial number is not one of ours');
  if (spki!.whole.length !== spkiBytes) throw unreadable('its key is of the wrong kind');
  return {
    der,
    tbs: tbs!.whole,
    serial: serial!.contents,
    notBefore: timeOf(notBefore!),
    notAfter: timeOf(notAfter!),
    publicKey: spki!.whole,
    uri,
    dnsNames: textsOf(0x82),
    ipAddresses: alternatives.filter(({ tag }) => tag === 0x87).map(({ contents }) => addressOf(contents)),
    // After the number of unused bits.
    signature: flat(signature!.contents.subarray(1)),
  };
}

interface Element {
  readonly tag: number;
  readonly contents: Uint8Array;
  /** The bytes, including tag and length. */
  readonly whole: Uint8Array;
}

/** The elements one after the other, with nothing left over. @param count if it is known. */
function elementsOf(bytes: Uint8Array, count?: number): readonly Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1] ?? 0;
    const more = short < 0x80 ? 0 : short & 0x7f;
    if (more > 2) throw unreadable('a length is not one of ours');
    let length = more === 0 ? short : 0;
    for (let n = 0; n < more; n += 1) length = length * 256 + (bytes[at + 2 + n] ?? 0);
    const start = at + 2 + more;
    const end = start + length;
    if (end > bytes.length) throw unreadable('it is truncated');
    elements.push({ tag: bytes[at]!, contents: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  if (elements.length === 0 || (count !== undefined && elements.length !== count))
    throw unreadable('its structure differs from ours');
  return elements;
}

function timeOf({ tag, contents }: Element): Date {
  const text = byteText(contents);
  const digits = tag === 0x17 ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text;
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? [];
  if (parts.length === 0) throw unreadable('its dates cannot be read');
  const [year, month, day, hour, minute, second] = parts.map(Number);
  return new Date(Date.UTC(year!, month! - 1, day, hour, minute, second));
}

function addressOf(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw unreadable('it contains an invalid address');
  const groups = Array.from({ length: 8 }, (_, n) => ((bytes[2 * n]! << 8) | bytes[2 * n + 1]!).toString(16));
  return groups.join(':');
}

/** From SEQUENCE { INTEGER r, INTEGER s }. */
function flat(der: Uint8Array): Uint8Array {
  const [whole] = elementsOf(der, 1);
  const out = new Uint8Array(signatureBytes);
  const numbers = elementsOf(whole!.contents, 2);
  for (const [n, { contents }] of numbers.entries()) {
    const digits = contents[0] === 0 ? contents.subarray(1) : contents;
    if (digits.length > 32) throw unreadable('its signature is too long');
    out.set(digits, 32 * (n + 1) - digits.length);
  }
  if (!sameBytes(der, sequence(integer(out.subarray(0, 32)), integer(out.subarray(32)))))
    throw unreadable('its signature is not in canonical form');
  return out;
}

const unreadable = (why: string) =>
  new IdentityError('CERTIFICATE_INVALID', `The certificate is not one of ours: ${why}.`);
