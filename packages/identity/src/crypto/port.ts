// All cryptography of the pairing code goes through this port, so that the code can run in a browser with a WebCrypto
// implementation. That is why the results are Awaitable.

export type Awaitable<T> = T | Promise<T>;

/** A device's long-lived Ed25519 key pair. The private half leaves the object only through `export`. */
export interface IdentityKey {
  /** Raw, 32 bytes (RFC 8032 5.1.5). */
  readonly publicKey: Uint8Array;
  /** 64 bytes. */
  sign(data: Uint8Array): Awaitable<Uint8Array>;
  /** PKCS #8 DER, only for a SecretStore. */
  export(): Uint8Array;
}

export interface PairingCrypto {
  /** From the CSPRNG. */
  randomBytes(length: number): Uint8Array;
  /** Uniform in [0, below). */
  randomInt(below: number): number;
  sha256(data: Uint8Array): Awaitable<Uint8Array>;
  sha512(data: Uint8Array): Awaitable<Uint8Array>;
  hmacSha256(key: Uint8Array, data: Uint8Array): Awaitable<Uint8Array>;
  /** RFC 5869 with an empty salt. */
  hkdfSha512(keyMaterial: Uint8Array, info: Uint8Array, length: number): Awaitable<Uint8Array>;
  /** RFC 7748 section 5. Undefined if the result is the neutral element (all zero). */
  x25519(scalar: Uint8Array, u: Uint8Array): Awaitable<Uint8Array | undefined>;
  generateIdentityKey(): Awaitable<IdentityKey>;
  importIdentityKey(pkcs8: Uint8Array): Awaitable<IdentityKey>;
  verifyEd25519(publicKey: Uint8Array, data: Uint8Array, signature: Uint8Array): Awaitable<boolean>;
  /** ECDSA P-256 with SHA-256. The signature is r || s, 64 bytes (IEEE P1363, the form of WebCrypto). */
  verifyP256(spki: Uint8Array, data: Uint8Array, signature: Uint8Array): Awaitable<boolean>;
  /** ChaCha20-Poly1305 with a random nonce, for secrets in the registry: nonce || ciphertext || tag. */
  seal(key: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** Undefined if the data was not sealed with this key and context. */
  unseal(key: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): Awaitable<Uint8Array | undefined>;
  /** The only comparison of secrets, in constant time. False for different lengths. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}
