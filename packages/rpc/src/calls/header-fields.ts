// Header and trailer fields: their size, and what a handler may set. When a field cannot be sent, Node and its HTTP/2 library throw an
// exception that nothing can catch, or end the whole session. So fields are checked here first.

/** Largest header or trailer of an answer, bytes, counted as in RFC 9113 6.5.2. Requests have the same limit. */
export const maxHeaderBytes = 16 * 1024;

/**
 * Size as RFC 9113 6.5.2 counts it. nghttp2 enforces the limit only after the peer has acknowledged it.
 * @param rawHeaders names and values in turn.
 */
export function headerListBytes(rawHeaders: readonly string[]): number {
  let bytes = rawHeaders.length * 16;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** RFC 9113 8.2.2 */
const ofConnection: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** @throws TypeError for fields that cannot be sent over HTTP/2. */
export function checkHeaderFields(headers: Headers): void {
  let bytes = 0;
  for (const [name, value] of headers) {
    if (ofConnection.has(name))
      throw new TypeError(`${name} is a field of a connection and not of an answer`);
    bytes += name.length + value.length + 32;
  }
  if (bytes > maxHeaderBytes)
    throw new TypeError(`the fields of an answer have ${bytes} bytes; ${maxHeaderBytes} are allowed`);
}
