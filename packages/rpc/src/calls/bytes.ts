// Conversions between bytes and texts, for code that runs without Node's Buffer.

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const part of parts) size += part.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One byte per character. Characters above U+00FF are not preserved. */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** For headers and paths, which are short. */
export const toLatin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
