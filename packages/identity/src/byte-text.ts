/** A character for each byte (ISO 8859-1), without Node. Spreading the bytes into one call would fail for large arrays. */
export function byteText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}
