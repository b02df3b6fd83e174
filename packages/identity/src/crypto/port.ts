// All cryptography of the pairing code goes through this port, so that the code can run in a browser with a WebCrypto
// implementation. That is why the results are Awaitable.

import type { LeafSpiffeId } from '../certificate/spiffe-id.ts';

export type Awaitable<T> = T | Promise<T>;

/** A device's long-lived Ed25519 key pair. The private half leaves the object only through `export`. */
export interface IdentityKey {
  /** Raw, 32 bytes (RFC 8032 5.1.5). */
  readonly publicKey: Uint8Array;
  /** 64 bytes. */
  sign(data: Uint8Array): Awaitable<Uint8Array>;
  /** Only for a SecretStore: PKCS #8 DER, or in a browser the name of a key that cannot be exported. */
  export(): Uint8Array;
}

/** The P-256 key of a device's certificate. It stays where it was generated. */
export interface DeviceTlsKey {
  /** SubjectPublicKeyInfo, DER, 91 bytes. */
  readonly publicKey: Uint8Array;
  /** ECDSA with SHA-256: r and s, 64 bytes. */
  sign(data: Uint8Array): Awaitable<Uint8Array>;
  /** The stored form of the key, only for a SecretStore: PKCS #8 DER, or in a browser the name of a key that cannot be exported. */
  export(): Uint8Array;
}

/** A chain that leads to a root, whatever its dates. */
export interface JudgedDeviceChain {
  readonly leaf: LeafSpiffeId;
  /** The leaf's SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  /** The trust domain of the roots. */
  readonly trustDomains: readonly string[];
}

/** The cryptography of a device. */
export interface DeviceCrypto {
  /** From the CSPRNG. */
  randomBytes(length: number): Uint8Array;
  sha256(data: Uint8Array): Awaitable<Uint8Array>;
  sha512(data: Uint8Array): Awaitable<Uint8Array>;
  hmacSha256(key: Uint8Array, data: Uint8Array): Awaitable<Uint8Array>;
  /** RFC 5869 with an empty salt. */
  hkdfSha512(keyMaterial: Uint8Array, info: Uint8Array, length: number): Awaitable<Uint8Array>;
  /** RFC 7748 section 5. Undefined if the result is the neutral element (all zero). */
  x25519(scalar: Uint8Array, u: Uint8Array): Awaitable<Uint8Array | undefined>;
  generateIdentityKey(): Awaitable<IdentityKey>;
  /** @param stored what `export` of the key has returned. */
  importIdentityKey(stored: Uint8Array): Awaitable<IdentityKey>;
  generateTlsKey(): Awaitable<DeviceTlsKey>;
  /** @param stored what `export` of the key has returned. @throws SECRET_CORRUPT */
  importTlsKey(stored: Uint8Array): Awaitable<DeviceTlsKey>;
  /** The trust domain of a root. @throws CERTIFICATE_INVALID */
  trustDomainOf(root: Uint8Array): Awaitable<string>;
  /** @throws CERTIFICATE_INVALID for a chain that this project has not made, or that leads to none of the roots. */
  judgeChain(roots: readonly Uint8Array[], chain: readonly Uint8Array[]): Awaitable<JudgedDeviceChain>;
  /** ECDSA P-256 with SHA-256. The signature is r || s, 64 bytes (IEEE P1363, the form of WebCrypto). */
  verifyP256(spki: Uint8Array, data: Uint8Array, signature: Uint8Array): Awaitable<boolean>;
  /** The only comparison of secrets, in constant time. False for different lengths. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

/** The additional cryptography of a daemon. */
export interface PairingCrypto extends DeviceCrypto {
  /** Uniform in [0, below). */
  randomInt(below: number): number;
  verifyEd25519(publicKey: Uint8Array, data: Uint8Array, signature: Uint8Array): Awaitable<boolean>;
  /** ChaCha20-Poly1305 with a random nonce, for secrets in the registry: nonce || ciphertext || tag. */
  seal(key: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** Undefined if the data was not sealed with this key and context. */
  unseal(key: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): Awaitable<Uint8Array | undefined>;
}
