// X25519 keys with known secrets, for tests.

import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyPair } from '../noise/crypto.ts';

/** @param secret 32 bytes. */
export async function knownKey(secret: Uint8Array): Promise<KeyPair> {
  // The DER prefix of the raw key (RFC 8410).
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret]);
  const publicKey = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, 'X25519', false, ['deriveBits']),
    publicKey: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)),
  };
}
