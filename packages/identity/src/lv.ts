// lv_cat of draft-irtf-cfrg-cpace-21, section 6.2 (prepend_len, LEB128 lengths), and the reader that undoes it.
// Every labelled byte string of this project uses it, so different tuples have different encodings.

import { IdentityError } from './errors.ts';

const encoder = new TextEncoder();

/** Concatenates byte strings (text as UTF-8), each after its length. */
export function lvCat(...fields: readonly (Uint8Array | string)[]): Uint8Array {
  const parts = fields.map((field) => (typeof field === 'string' ? encoder.encode(field) : field));
  let size = 0;
  for (const part of parts) size += lengthBytes(part.length) + part.length;
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    for (let n = part.length; ; n = Math.floor(n / 128)) {
      if (n < 128) {
        out[at++] = n;
        break;
      }
      out[at++] = (n % 128) | 128;
    }
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function lengthBytes(n: number): number {
  let bytes = 1;
  for (let rest = n; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}

/**
 * Splits the output of lvCat into exactly `count` parts. Refuses extra bytes, truncation and lengths not in shortest
 * form.
 * @throws MESSAGE_INVALID
 */
export function lvSplit(data: Uint8Array, count: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at < data.length && parts.length < count) {
    let length = 0;
    let factor = 1;
    for (;;) {
      const byte = data[at++];
      if (byte === undefined || factor > 128 ** 3) throw invalid('a length is truncated or too large');
      if (byte === 0 && factor > 1) throw invalid('a length is not in its shortest form');
      length += (byte & 127) * factor;
      if (byte < 128) break;
      factor *= 128;
    }
    if (at + length > data.length) throw invalid('a field is truncated');
    parts.push(data.slice(at, at + length));
    at += length;
  }
  if (parts.length !== count || at !== data.length) throw invalid(`expected exactly ${count} fields`);
  return parts;
}

function invalid(why: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The message cannot be read: ${why}.`);
}
