// The crypto port on WebCrypto, for browsers and Node. Its private keys cannot be exported.

import { type ChannelCrypto, keyBytes, tagBytes } from './crypto.ts';

type Bytes = Uint8Array<ArrayBuffer>;

export const webCrypto: ChannelCrypto = {
  async generateKeyPair() {
    const pair = await crypto.subtle.generateKey('X25519', false, ['deriveBits']);
    const { privateKey, publicKey } = pair as { privateKey: CryptoKey; publicKey: CryptoKey };
    return { privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey('raw', publicKey)) };
  },

  async diffieHellman(privateKey, publicKey) {
    const imported = await crypto.subtle.importKey('raw', publicKey as Bytes, 'X25519', true, []);
    const algorithm = { name: 'X25519', public: imported };
    const shared = await crypto.subtle.deriveBits(algorithm, privateKey as CryptoKey, 8 * keyBytes);
    // WebCrypto must reject such keys. Checked here too, in case a browser does not.
    if (new Uint8Array(shared).every((byte) => byte === 0)) throw new RangeError('a key of small order');
    return new Uint8Array(shared);
  },

  sha256: async (data) => new Uint8Array(await crypto.subtle.digest('SHA-256', data as Bytes)),

  async hmacSha256(key, data) {
    const algorithm = { name: 'HMAC', hash: 'SHA-256' };
    const imported = await crypto.subtle.importKey('raw', key as Bytes, algorithm, false, ['sign']);
    return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data as Bytes));
  },

  async importAead(bytes) {
    const key = await crypto.subtle.importKey('raw', bytes as Bytes, 'AES-GCM', false, [
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
        new Uint8Array(await crypto.subtle.encrypt(parameters(nonce, data), key, plaintext as Bytes)),
      open: async (nonce, data, sealed) =>
        new Uint8Array(await crypto.subtle.decrypt(parameters(nonce, data), key, sealed as Bytes)),
    };
  },

  async verifyP256(spki, data, signature) {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const key = await crypto.subtle.importKey('spki', spki as Bytes, algorithm, false, ['verify']);
    const ecdsa = { name: 'ECDSA', hash: 'SHA-256' };
    return crypto.subtle.verify(ecdsa, key, signature as Bytes, data as Bytes);
  },
};
