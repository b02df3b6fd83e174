// PEM (RFC 7468): for the TLS stack and other programs, which take nothing else, and for keys on their way into
// node:crypto.

/** @param chain DER, in the order in which they are sent: the leaf first. */
export function certificatesToPem(chain: readonly Uint8Array[]): string {
  return chain.map((der) => pem('CERTIFICATE', der)).join('');
}

export function revocationListsToPem(lists: readonly { readonly der: Uint8Array }[]): string {
  return lists.map(({ der }) => pem('X509 CRL', der)).join('');
}

/** @param der one object, which may come in parts. */
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
