// The pairing cryptography, implemented with node:crypto.

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
  randomInt,
  sign,
  timingSafeEqual,
} from 'node:crypto';
import { inspect } from 'node:util';
import { ChainJudge } from '../certificate/chain-verdict.ts';
import { integer, sequence } from '../certificate/der.ts';
import { readAuthorityCertificate } from '../certificate/peer-certificate.ts';
import { TlsKey } from '../certificate/tls-key.ts';
import type { DeviceTlsKey, IdentityKey, PairingCrypto } from './port.ts';
import { verifyBeside } from './verify-beside.ts';

// RFC 8410: the DER in front of a raw 32-byte key.
const x25519Pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const x25519Spki = Buffer.from('302a300506032b656e032100', 'hex');
const ed25519Spki = Buffer.from('302a300506032b6570032100', 'hex');
const nonceBytes = 12;
const tagBytes = 16;
const noSalt = new Uint8Array();
/** Keeps imported keys, because CPace uses each scalar twice and an import costs more than the multiplication. */
const x25519Keys = new WeakMap<Uint8Array, KeyObject>();

const pkcs8 = (...der: Uint8Array[]) => ({ key: Buffer.concat(der), format: 'der', type: 'pkcs8' }) as const;
const spki = (...der: Uint8Array[]) => ({ key: Buffer.concat(der), format: 'der', type: 'spki' }) as const;

export const nodeCrypto: PairingCrypto = {
  randomBytes: (length) => new Uint8Array(randomBytes(length)),
  randomInt: (below) => randomInt(below),
  sha256: (data) => digest('sha256', data),
  sha512: (data) => digest('sha512', data),
  hmacSha256: (key, data) => new Uint8Array(createHmac('sha256', createSecretKey(key)).update(data).digest()),
  hkdfSha512: (keyMaterial, info, length) =>
    new Uint8Array(hkdfSync('sha512', createSecretKey(keyMaterial), noSalt, info, length)),

  x25519(scalar, u) {
    let privateKey = x25519Keys.get(scalar);
    if (!privateKey) {
      privateKey = createPrivateKey(pkcs8(x25519Pkcs8, scalar));
      x25519Keys.set(scalar, privateKey);
    }
    const publicKey = createPublicKey(spki(x25519Spki, u));
    try {
      return new Uint8Array(diffieHellman({ privateKey, publicKey }));
    } catch {
      // With both keys well-formed, OpenSSL fails only for an all-zero result (RFC 7748 6.1).
      return undefined;
    }
  },

  generateIdentityKey: () => new NodeIdentityKey(generateKeyPairSync('ed25519').privateKey),
  importIdentityKey(der) {
    const key = createPrivateKey(pkcs8(der));
    if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('an identity key is an Ed25519 key');
    return new NodeIdentityKey(key);
  },

  generateTlsKey: () => deviceTlsKey(TlsKey.generate()),
  importTlsKey: (stored) => deviceTlsKey(TlsKey.fromPkcs8(stored)),
  trustDomainOf: (root) => readAuthorityCertificate(root).trustDomain,
  judgeChain(roots, chain) {
    const judge = new ChainJudge(roots);
    const { leaf, certificate } = judge.judge(chain);
    const publicKey = new Uint8Array(certificate.publicKey.export({ format: 'der', type: 'spki' }));
    return { leaf: leaf.spiffeId, publicKey, trustDomains: judge.trustDomains };
  },

  async verifyEd25519(publicKey, data, signature) {
    if (publicKey.length !== 32 || signature.length !== 64) return false;
    return verifyBeside(null, data, spki(ed25519Spki, publicKey), signature);
  },

  async verifyP256(publicKey, data, signature) {
    if (signature.length !== 64) return false;
    // Converts to the SEQUENCE that OpenSSL takes, because Node's own conversion takes a third of the verification
    // time.
    const der = sequence(integer(signature.subarray(0, 32)), integer(signature.subarray(32)));
    return verifyBeside('sha256', data, spki(publicKey), der);
  },

  seal(key, associatedData, plaintext) {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('chacha20-poly1305', createSecretKey(key), nonce, {
      authTagLength: tagBytes,
    });
    cipher.setAAD(associatedData, { plaintextLength: plaintext.length });
    return new Uint8Array(
      Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]),
    );
  },

  unseal(key, associatedData, sealed) {
    if (sealed.length < nonceBytes + tagBytes) return undefined;
    const body = sealed.subarray(nonceBytes, -tagBytes);
    const nonce = sealed.subarray(0, nonceBytes);
    const decipher = createDecipheriv('chacha20-poly1305', createSecretKey(key), nonce, {
      authTagLength: tagBytes,
    });
    decipher.setAAD(associatedData, { plaintextLength: body.length });
    decipher.setAuthTag(sealed.subarray(-tagBytes));
    const plaintext = decipher.update(body);
    try {
      decipher.final();
    } catch {
      // It was not sealed with this key for this place. The caller decides what that means.
      return undefined;
    }
    return new Uint8Array(plaintext);
  },

  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};

class NodeIdentityKey implements IdentityKey {
  readonly #key: KeyObject;
  readonly publicKey: Uint8Array;

  constructor(key: KeyObject) {
    this.#key = key;
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
    this.publicKey = new Uint8Array(spki.subarray(ed25519Spki.length));
  }

  sign(data: Uint8Array): Uint8Array {
    return new Uint8Array(sign(null, data, this.#key));
  }

  export(): Uint8Array {
    return new Uint8Array(this.#key.export({ format: 'der', type: 'pkcs8' }));
  }

  toJSON(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return 'IdentityKey [redacted]';
  }
}

const deviceTlsKey = (key: TlsKey): DeviceTlsKey => ({
  publicKey: key.publicKey,
  sign: (data) => key.sign(data),
  export: () => key.toPkcs8(),
});

function digest(algorithm: 'sha256' | 'sha512', data: Uint8Array): Uint8Array {
  return new Uint8Array(hash(algorithm, data, 'buffer'));
}
