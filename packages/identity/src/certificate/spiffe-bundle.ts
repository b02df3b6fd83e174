// The trust bundle in the form of SPIFFE (SPIFFE Trust Domain and Bundle, section 4): a JWK set.

import { parseCertificate } from './peer-certificate.ts';

/** How often a reader should look for a newer one, s. A new root is published days before it signs. */
export const bundleRefreshSeconds = 300;

/**
 * @param roots DER.
 * @param sequence larger for each newer bundle.
 * @returns what JSON.stringify makes a SPIFFE bundle of.
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
