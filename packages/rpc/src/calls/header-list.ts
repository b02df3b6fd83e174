// Headers and trailers on the wire, docs/quic.md section 3.2: name and value, each prefixed with its length. They are not
// compressed: the headers of a call are small, and shared compression would leak information between calls.

import { concat, fromLatin1, toLatin1 } from './bytes.ts';
import { invalid } from './protocol-error.ts';
import { decodeVarint, encodeVarint } from './varint.ts';

const maxHeaders = 128;
/** RFC 9110 5.6.2, lower case as in HTTP/2 (RFC 9113 8.2). */
const name = /^[a-z0-9!#$%&'*+.^_`|~-]+$/;
/** RFC 9110 5.5, one byte per character. */
const value = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Names and values in sending order; names may repeat. A `Headers` object is a header list, and can be built from one. */
export type HeaderList = Iterable<[name: string, value: string]>;

export function encodeHeaders(headers: HeaderList): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, value] of headers) {
    const bytes = fromLatin1(value);
    parts.push(encodeVarint(name.length), fromLatin1(name), encodeVarint(bytes.length), bytes);
  }
  return concat(parts);
}

/** @throws MESSAGE_INVALID, MESSAGE_TOO_LARGE */
export function decodeHeaders(bytes: Uint8Array): [name: string, value: string][] {
  const headers: [string, string][] = [];
  let at = 0;
  for (let count = 0; at < bytes.length; count++) {
    if (count === maxHeaders) throw invalid(`more than ${maxHeaders} headers`);
    const key = readText(bytes, at);
    const text = readText(bytes, key.next);
    if (!name.test(key.text) || !value.test(text.text)) throw invalid('a header of other characters');
    headers.push([key.text, text.text]);
    at = text.next;
  }
  return headers;
}

function readText(bytes: Uint8Array, at: number): { text: string; next: number } {
  const length = decodeVarint(bytes, at);
  if (!length || length.next + length.value > bytes.length) throw invalid('a header list that is cut');
  const next = length.next + length.value;
  return { text: toLatin1(bytes.subarray(length.next, next)), next };
}
