// PEM (RFC 7468), for the TLS stack, which takes nothing else.

/** @param chain DER, in the order in which they are sent: the leaf first. */
export function certificatesToPem(chain: readonly Uint8Array[]): string {
  return chain
    .map((der) => {
      const lines =
        Buffer.from(der)
          .toString('base64')
          .match(/.{1,64}/g) ?? [];
      return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
    })
    .join('');
}
