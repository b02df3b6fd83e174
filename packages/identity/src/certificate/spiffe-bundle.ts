// The trust bundle in the form of SPIFFE (SPIFFE Trust Domain and Bundle, section 4): a JWK set.

import { parseCertificate } from './peer-certificate.ts';

/** @param roots DER. @returns what JSON.stringify makes a SPIFFE bundle of. */
export function spiffeBundle(roots: readonly Uint8Array[]): object {
  return {
    keys: roots.map((der) => {
      const { kty, crv, x, y } = parseCertificate(der).publicKey.export({ format: 'jwk' });
      return { use: 'x509-svid', kty, crv, x, y, x5c: [Buffer.from(der).toString('base64')] };
    }),
  };
}
