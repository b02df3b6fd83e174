// The trust bundle in SPIFFE format (SPIFFE Trust Domain and Bundle, section 4): a JWK set.

import { parseCertificate } from './peer-certificate.ts';

/** How often a reader should fetch the bundle, s. A new root is published days before it signs. */
export const bundleRefreshSeconds = 300;

/**
 * @param roots DER.
 * @param sequence increases with each bundle.
 * @returns the object that JSON.stringify turns into a SPIFFE bundle.
 */
export function spiffeBundle(roots: readonly Uint8Array[], sequence: number): object {
  return {
    spiffe_sequence: sequence,
    spiffe_refresh_hint: bundleRefreshSeconds,
    keys: roots.map((der) => {
      const { kty, crv, x, y } = parseCertificate(der).publicKey.export({ format: 'jwk' });
      return { use: 'x509-svid', kty, crv, x, y, x5c: [Buffer.from(der).toString('base64')] };
    }),
  };
}
