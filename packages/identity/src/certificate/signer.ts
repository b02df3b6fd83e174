// The port for keys of the CA, so that a key can be in a file, in memory or in a token.

/** A key that can sign certificates. */
export interface CertificateSigner {
  /** P-256 SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** ECDSA with SHA-256 over the data; the signature as a DER SEQUENCE (RFC 3279 2.2.3). */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** A signature over data in parts, because signing it all at once would block other work. */
export interface RunningSignature {
  update(part: Uint8Array): void;
  /** Returns the signature over all parts, as `Signer.sign` would. */
  end(): Uint8Array | Promise<Uint8Array>;
}

export interface Signer extends CertificateSigner {
  startSigning(): RunningSignature;
}
