// The cryptography of a device, on WebCrypto. Private keys are created so that they cannot be exported, and are kept in
// IndexedDB. A record holds only the public key, which identifies the private key.

import { bytesToHex, concatBytes, hexToBytes } from '@noble/curves/utils.js';
import {
  type DeviceCrypto,
  type DeviceTlsKey,
  type IdentityKey,
  judgeChainOfOurs,
  sameBytes,
  trustDomainOfRoot,
} from '@palyra/identity/device-portable';
import { IdentityError } from '@palyra/identity/portable';
import type { DeviceDatabase } from './database.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const p256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const ecdsa = { name: 'ECDSA', hash: 'SHA-256' } as const;
/** RFC 8410: the DER prefix of a raw X25519 key. */
const x25519Pkcs8 = hexToBytes('302e020100300506032b656e04220420');

/** @throws VERSION_UNSUPPORTED if the browser lacks an algorithm. */
export async function mustHaveWebCrypto(): Promise<void> {
  // Undefined on a page without a secure context.
  const { subtle } = globalThis.crypto as { readonly subtle?: SubtleCrypto };
  if (!subtle)
    throw unsupported('This page has no WebCrypto. Open it over https:, from localhost, or as an extension.');
  for (const [name, usages] of [
    ['Ed25519', ['sign', 'verify']],
    ['X25519', ['deriveBits']],
  ] as const) {
    try {
      await subtle.generateKey(name, false, [...usages]);
    } catch (cause) {
      throw unsupported(`This browser has no ${name} in WebCrypto. Update it.`, cause);
    }
  }
}

export function webDeviceCrypto(database: DeviceDatabase): DeviceCrypto {
  const { subtle } = crypto;
  const keep = async (kind: KeyKind, algorithm: string | typeof p256, format: 'raw' | 'spki') => {
    const pair = await subtle.generateKey(algorithm, false, ['sign', 'verify']);
    const { privateKey, publicKey } = pair as { privateKey: CryptoKey; publicKey: CryptoKey };
    const exported = new Uint8Array(await subtle.exportKey(format, publicKey));
    await database.put('keys', nameOf(kind, exported), { privateKey, madeAt: Date.now() } satisfies KeptKey);
    return keyOf(kind, exported, privateKey);
  };
  const find = async (kind: KeyKind, publicKey: Uint8Array) => {
    const kept = (await database.get('keys', nameOf(kind, publicKey))) as KeptKey | undefined;
    if (!kept)
      throw new IdentityError('SECRET_CORRUPT', 'A private key of this device is no longer in the browser.');
    return keyOf(kind, publicKey, kept.privateKey);
  };
  const verifyP256 = async (spki: Uint8Array, data: Uint8Array, signature: Uint8Array) => {
    const key = await subtle.importKey('spki', spki as Bytes, p256, false, ['verify']);
    return subtle.verify(ecdsa, key, signature as Bytes, data as Bytes);
  };
  return {
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    sha256: async (data) => new Uint8Array(await subtle.digest('SHA-256', data as Bytes)),
    sha512: async (data) => new Uint8Array(await subtle.digest('SHA-512', data as Bytes)),
    async hmacSha256(key, data) {
      const algorithm = { name: 'HMAC', hash: 'SHA-256' };
      const imported = await subtle.importKey('raw', key as Bytes, algorithm, false, ['sign']);
      return new Uint8Array(await subtle.sign('HMAC', imported, data as Bytes));
    },
    async hkdfSha512(keyMaterial, info, length) {
      const key = await subtle.importKey('raw', keyMaterial as Bytes, 'HKDF', false, ['deriveBits']);
      const algorithm = { name: 'HKDF', hash: 'SHA-512', salt: new Uint8Array(), info: info as Bytes };
      return new Uint8Array(await subtle.deriveBits(algorithm, key, 8 * length));
    },
    async x25519(scalar, u) {
      const der = concatBytes(x25519Pkcs8, scalar) as Bytes;
      const key = await subtle.importKey('pkcs8', der, 'X25519', false, ['deriveBits']);
      const point = await subtle.importKey('raw', u as Bytes, 'X25519', true, []);
      try {
        const shared = new Uint8Array(await subtle.deriveBits({ name: 'X25519', public: point }, key, 256));
        return shared.every((byte) => byte === 0) ? undefined : shared;
      } catch {
        // Both keys are well-formed, so only an all-zero result can cause this (RFC 7748 6.1).
        return undefined;
      }
    },
    generateIdentityKey: () => keep('ed25519', 'Ed25519', 'raw'),
    importIdentityKey: (stored) => find('ed25519', stored),
    generateTlsKey: () => keep('p256', p256, 'spki'),
    importTlsKey: (stored) => find('p256', stored),
    trustDomainOf: (root) => trustDomainOfRoot(verifyP256, root),
    judgeChain: (roots, chain) => judgeChainOfOurs(verifyP256, roots, chain),
    verifyP256,
    equal: sameBytes,
  };
}

/** A key or an identity that no record names is deleted after this time, when no running pairing can need it any more, ms. */
export const unusedKeptMs = 24 * 60 * 60_000;

/** @param used the public keys that are needed: the P-256 keys in the records, and the identities' Ed25519 keys. */
export async function dropUnusedKeys(
  database: DeviceDatabase,
  used: Readonly<Record<KeyKind, readonly Uint8Array[]>>,
): Promise<void> {
  const kinds = ['ed25519', 'p256'] as const;
  const kept = new Set(kinds.flatMap((kind) => used[kind].map((publicKey) => nameOf(kind, publicKey))));
  for (const name of await database.names('keys')) {
    if (kept.has(name)) continue;
    const { madeAt } = (await database.get('keys', name)) as KeptKey;
    if (Date.now() - madeAt > unusedKeptMs) await database.delete('keys', name);
  }
}

type KeyKind = 'ed25519' | 'p256';

interface KeptKey {
  readonly privateKey: CryptoKey;
  /** Unix milliseconds. */
  readonly madeAt: number;
}

const nameOf = (kind: KeyKind, publicKey: Uint8Array): string => `${kind}/${bytesToHex(publicKey)}`;

function keyOf(kind: KeyKind, publicKey: Uint8Array, key: CryptoKey): IdentityKey & DeviceTlsKey {
  return {
    publicKey,
    sign: async (data) =>
      new Uint8Array(await crypto.subtle.sign(kind === 'p256' ? ecdsa : 'Ed25519', key, data as Bytes)),
    export: () => publicKey,
  };
}

const unsupported = (message: string, cause?: unknown) =>
  new IdentityError('VERSION_UNSUPPORTED', message, { cause });
