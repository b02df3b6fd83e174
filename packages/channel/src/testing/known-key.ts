// X25519 keys that a test knows.

import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyPair } from '../noise/crypto.ts';

/** @param secret 32 bytes. */
export async function knownKey(secret: Uint8Array): Promise<KeyPair> {
  // RFC 8410: the DER in front of the raw key.
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret]);
  const publicKey = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, 'X25519', false, ['deriveBits']),
    publicKey: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)),
  };
}
