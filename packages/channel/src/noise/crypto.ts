// The functions of Noise_XX_25519_AESGCM_SHA256 (Noise revision 34, sections 4 and 12) and of certificates, as a port.

import { concat } from '@palyra/rpc/portable';

export type Awaitable<T> = T | Promise<T>;

/** X25519. */
export interface KeyPair {
  /** An object of the crypto implementation, used only by that implementation. */
  readonly privateKey: unknown;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** AES-256-GCM under one key. */
export interface Aead {
  seal(nonce: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** @throws if authentication fails. */
  open(nonce: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): Awaitable<Uint8Array>;
}

export interface ChannelCrypto {
  /** Generates a new key pair. */
  generateKeyPair(): Awaitable<KeyPair>;
  /** RFC 7748 6.1. @throws for a public key of small order, because the result would be zero. */
  diffieHellman(privateKey: unknown, publicKey: Uint8Array): Awaitable<Uint8Array>;
  sha256(data: Uint8Array): Awaitable<Uint8Array>;
  hmacSha256(key: Uint8Array, data: Uint8Array): Awaitable<Uint8Array>;
  importAead(key: Uint8Array): Awaitable<Aead>;
  /** ECDSA P-256 with SHA-256. @param signature r and s, 64 bytes. */
  verifyP256(spki: Uint8Array, data: Uint8Array, signature: Uint8Array): Awaitable<boolean>;
}

export const keyBytes = 32;
export const tagBytes = 16;

/** The first two outputs of Noise's HKDF (section 4.3). Avoids WebCrypto's HKDF, because some browsers reject an empty input. */
export async function hkdf(
  { hmacSha256 }: ChannelCrypto,
  chainingKey: Uint8Array,
  input: Uint8Array,
): Promise<[first: Uint8Array, second: Uint8Array]> {
  const temporary = await hmacSha256(chainingKey, input);
  const first = await hmacSha256(temporary, Uint8Array.of(1));
  return [first, await hmacSha256(temporary, concat([first, Uint8Array.of(2)]))];
}
