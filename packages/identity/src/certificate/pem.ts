// PEM (RFC 7468), for the TLS stack and other programs that accept nothing else, and for importing keys into
// node:crypto.

/** @param chain DER, in sending order: the leaf first. */
export function certificatesToPem(chain: readonly Uint8Array[]): string {
  return chain.map((der) => pem('CERTIFICATE', der)).join('');
}

/**
 * Returns parts, because the list of a large fleet would block the event loop for too long.
 * @param lists DER, each in parts of any size.
 */
export function* revocationListsToPem(
  lists: readonly { readonly der: readonly Uint8Array[] }[],
): Generator<string> {
  for (const { der } of lists) {
    yield '-----BEGIN X509 CRL-----\n';
    let rest: Uint8Array = new Uint8Array();
    for (const part of der) {
      const bytes = Buffer.concat([rest, part]);
      const whole = bytes.length - (bytes.length % lineBytes);
      rest = bytes.subarray(whole);
      if (whole > 0) yield bytes.toString('base64', 0, whole).replace(/.{64}/g, '$&\n');
    }
    if (rest.length > 0) yield `${Buffer.from(rest).toString('base64')}\n`;
    yield '-----END X509 CRL-----\n';
  }
}

/** The length of that PEM text, in characters of one byte. */
export function revocationListsPemLength(lists: readonly { readonly der: readonly Uint8Array[] }[]): number {
  const frame = '-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n'.length;
  return lists.reduce((sum, { der }) => {
    const bytes = der.reduce((length, part) => length + part.length, 0);
    return sum + frame + 4 * Math.ceil(bytes / 3) + Math.ceil(bytes / lineBytes);
  }, 0);
}

/** The bytes that one line of 64 characters encodes. */
const lineBytes = 48;

/** @param der one object, possibly in parts. */
export function pem(
  label: 'CERTIFICATE' | 'X509 CRL' | 'PRIVATE KEY' | 'PUBLIC KEY',
  ...der: readonly Uint8Array[]
): string {
  const lines =
    Buffer.concat(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
