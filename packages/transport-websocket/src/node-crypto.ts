// The channel's cryptography on node:crypto. It is synchronous, and ten times as fast as Node's WebCrypto.

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  type KeyObject,
} from 'node:crypto';
import type { ChannelCrypto } from '@palyra/channel';
import { nodeCrypto as pairingCrypto } from '@palyra/identity/device';

const cipherName = 'aes-256-gcm';
const tagBytes = 16;
/** The DER prefix of a raw X25519 key (RFC 8410). */
const x25519Spki = Buffer.from('302a300506032b656e032100', 'hex');

export const nodeCrypto: ChannelCrypto = {
  generateKeyPair() {
    const { privateKey, publicKey } = generateKeyPairSync('x25519');
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    return { privateKey, publicKey: new Uint8Array(spki.subarray(x25519Spki.length)) };
  },
  diffieHellman(privateKey, raw) {
    const key = Buffer.concat([x25519Spki, raw]);
    const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
    // OpenSSL throws if the result is all zeros.
    return new Uint8Array(diffieHellman({ privateKey: privateKey as KeyObject, publicKey }));
  },
  sha256: (data) => new Uint8Array(hash('sha256', data, 'buffer')),
  hmacSha256: (key, data) => new Uint8Array(createHmac('sha256', createSecretKey(key)).update(data).digest()),
  verifyP256: (spki, data, signature) => pairingCrypto.verifyP256(spki, data, signature),

  importAead(bytes) {
    const key = createSecretKey(bytes);
    return {
      seal(nonce, associatedData, plaintext) {
        const cipher = createCipheriv(cipherName, key, nonce, { authTagLength: tagBytes });
        if (associatedData.length > 0) cipher.setAAD(associatedData);
        return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
      },
      open(nonce, associatedData, sealed) {
        if (sealed.length < tagBytes) throw new RangeError('a message without a tag');
        const decipher = createDecipheriv(cipherName, key, nonce, { authTagLength: tagBytes });
        if (associatedData.length > 0) decipher.setAAD(associatedData);
        decipher.setAuthTag(sealed.subarray(-tagBytes));
        const plaintext = decipher.update(sealed.subarray(0, -tagBytes));
        // Verifies the tag. The plaintext is not authentic before this call.
        decipher.final();
        return plaintext;
      },
    };
  },
};
