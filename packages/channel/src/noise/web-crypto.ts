// The four functions of Noise_XX_25519_AESGCM_SHA256 (Noise revision 34, section 4 and 12), over WebCrypto: in browsers and in
// Node the same code, and private keys that cannot be exported.

type Bytes = Uint8Array<ArrayBuffer>;

/** X25519. */
export interface KeyPair {
  readonly privateKey: CryptoKey;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

export type Awaitable<T> = T | Promise<T>;

/** AES-256-GCM under one key. */
export interface Aead {
  seal(nonce: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array>;
  /** @throws when the bytes were not sealed so. */
  open(nonce: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): Awaitable<Uint8Array>;
}

/** Node has a way without a promise, which takes a tenth of the time of WebCrypto's. */
export type ImportAead = (key: Uint8Array) => Awaitable<Aead>;

export const keyBytes = 32;
export const tagBytes = 16;

/** A fresh one, which stays here. */
export async function generateKeyPair(): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey('X25519', false, ['deriveBits']);
  const { privateKey, publicKey } = pair as { privateKey: CryptoKey; publicKey: CryptoKey };
  return { privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey('raw', publicKey)) };
}

/** RFC 7748 6.1. @throws for a public key of small order, of which the result would be zero. */
export async function diffieHellman(privateKey: CryptoKey, publicKey: Uint8Array): Promise<Uint8Array> {
  const imported = await crypto.subtle.importKey('raw', publicKey as Bytes, 'X25519', true, []);
  const shared = new Uint8Array(
    await crypto.subtle.deriveBits({ name: 'X25519', public: imported }, privateKey, 8 * keyBytes),
  );
  // WebCrypto has to refuse this; that it does is not left to the browser.
  if (shared.every((byte) => byte === 0)) throw new RangeError('a public key of small order');
  return shared;
}

export async function sha256(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', concat(...parts)));
}

/** The first two outputs of Noise's HKDF (section 4.3). Not WebCrypto's own, which not every browser lets have an empty input. */
export async function hkdf(
  chainingKey: Uint8Array,
  input: Uint8Array,
): Promise<[first: Uint8Array, second: Uint8Array]> {
  const temporary = await hmac(chainingKey, input);
  const first = await hmac(temporary, Uint8Array.of(1));
  return [first, await hmac(temporary, concat(first, Uint8Array.of(2)))];
}

async function hmac(key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', key as Bytes, algorithm, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data as Bytes));
}

export const importAead: ImportAead = async (key) => {
  const imported = await crypto.subtle.importKey('raw', key as Bytes, 'AES-GCM', false, [
    'encrypt',
    'decrypt',
  ]);
  const parameters = (iv: Uint8Array, additionalData: Uint8Array) => ({
    name: 'AES-GCM',
    iv: iv as Bytes,
    additionalData: additionalData as Bytes,
    tagLength: 8 * tagBytes,
  });
  return {
    seal: async (nonce, data, plaintext) =>
      new Uint8Array(await crypto.subtle.encrypt(parameters(nonce, data), imported, plaintext as Bytes)),
    open: async (nonce, data, sealed) =>
      new Uint8Array(await crypto.subtle.decrypt(parameters(nonce, data), imported, sealed as Bytes)),
  };
};

export function concat(...parts: readonly Uint8Array[]): Bytes {
  let size = 0;
  for (const part of parts) size += part.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
