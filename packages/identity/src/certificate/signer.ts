// One port for every key of the CA, so that a key can live in a file, in memory or in a token.

/** What certificates need of a key. */
export interface CertificateSigner {
  /** P-256 SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** ECDSA with SHA-256 over the data; the signature as a DER SEQUENCE (RFC 3279 2.2.3). */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** A signature over data that comes in parts, because all of it at once would keep others waiting. */
export interface RunningSignature {
  update(part: Uint8Array): void;
  /** As `Signer.sign` over all parts. */
  end(): Uint8Array | Promise<Uint8Array>;
}

export interface Signer extends CertificateSigner {
  startSigning(): RunningSignature;
}
