/** Size as RFC 9113 6.5.2 counts it. nghttp2 enforces the limit only after the peer has acknowledged it. */
export function headerListBytes(rawHeaders: readonly string[]): number {
  let bytes = rawHeaders.length * 16;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}
