// One port for every key of the CA, so that a key can live in a file, in memory or in a token.

export interface Signer {
  /** P-256 SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** ECDSA with SHA-256 over the data; the signature as a DER SEQUENCE (RFC 3279 2.2.3). */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}
