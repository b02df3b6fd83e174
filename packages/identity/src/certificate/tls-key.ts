// ECDSA P-256 keys: the check of a key from outside, and the TLS key of a device or daemon.

import {
  createPrivateKey,
  createPublicKey,
  createSign,
  ECDH,
  generateKeyPairSync,
  type KeyObject,
  sign,
  type X509Certificate,
} from 'node:crypto';
import { inspect } from 'node:util';
import { IdentityError } from '../errors.ts';
import { integer, sequence } from './der.ts';

/** The bytes before the point: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING 04... (RFC 5480 2). */
export const spkiPrefix: Buffer = Buffer.from(
  '3059301306072a8648ce3d020106082a8648ce3d03010703420004',
  'hex',
);
/** Bytes of a P-256 SubjectPublicKeyInfo with an uncompressed point. */
export const P256_SPKI_BYTES = 91;
const maxPkcs8Bytes = 1024;

/**
 * Accepts only the canonical SubjectPublicKeyInfo of a P-256 key, as WebCrypto and OpenSSL write it: 91 bytes,
 * uncompressed, a point on the curve. `ECDH.convertKey` runs OpenSSL's own check of the point in a fifth of the time of
 * `createPublicKey`, which would take longer than the signature that follows.
 * @throws MESSAGE_INVALID
 */
export function checkP256Spki(der: Uint8Array): void {
  try {
    if (der.length !== P256_SPKI_BYTES) throw new RangeError(`${der.length} bytes`);
    if (spkiPrefix.compare(der, 0, spkiPrefix.length) !== 0) throw new RangeError('another kind of key');
    ECDH.convertKey(der.subarray(spkiPrefix.length - 1), 'prime256v1');
  } catch (cause) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      'The TLS key must be a P-256 public key as SubjectPublicKeyInfo, uncompressed, 91 bytes of DER.',
      { cause },
    );
  }
}

/**
 * Converts a public key from the form of a token.
 * @param point uncompressed, 65 bytes (SEC 1 2.3.3).
 * @returns SubjectPublicKeyInfo.
 * @throws MESSAGE_INVALID
 */
export function p256PublicKey(point: Uint8Array): Uint8Array {
  const der = new Uint8Array([...spkiPrefix.subarray(0, -1), ...point]);
  checkP256Spki(der);
  return der;
}

/**
 * Converts a signature from the form of a token to that of certificates.
 * @param rAndS 64 bytes.
 * @returns SEQUENCE { INTEGER r, INTEGER s }.
 */
export function p256Signature(rAndS: Uint8Array): Uint8Array {
  if (rAndS.length !== 64) throw new TypeError('r and s have 32 bytes each');
  return new Uint8Array(sequence(integer(rAndS.subarray(0, 32)), integer(rAndS.subarray(32))));
}

/** A private key that stays in this object and cannot be printed. */
export abstract class P256Key {
  readonly #key: KeyObject;
  #publicKey: Uint8Array | undefined;

  protected constructor(key: KeyObject, publicKey?: KeyObject) {
    this.#key = key;
    if (publicKey) this.#publicKey = spkiOf(publicKey);
  }

  /** SubjectPublicKeyInfo, DER, 91 bytes. */
  get publicKey(): Uint8Array {
    this.#publicKey ??= spkiOf(createPublicKey(this.#key));
    return this.#publicKey;
  }

  /** Whether the certificate is for this key. */
  isKeyOf(certificate: X509Certificate): boolean {
    return certificate.checkPrivateKey(this.#key);
  }

  protected static generateKey(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
    return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  }

  protected static readKey(pkcs8: Uint8Array): KeyObject {
    try {
      if (pkcs8.length > maxPkcs8Bytes) throw new RangeError('too long');
      const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
      if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new RangeError('another kind of key');
      return key;
    } catch (cause) {
      throw new IdentityError('SECRET_CORRUPT', 'The stored private key is not a P-256 key in PKCS #8.', {
        cause,
      });
    }
  }

  /** PKCS #8, DER. A secret, only for the secret store. */
  toPkcs8(): Uint8Array {
    return new Uint8Array(this.#key.export({ type: 'pkcs8', format: 'der' }));
  }

  /** PKCS #8, PEM. A secret, only for the TLS stack, which accepts nothing else. */
  toPem(): string {
    return this.#key.export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  /** ECDSA with SHA-256, as a DER SEQUENCE. */
  protected signDer(data: Uint8Array): Uint8Array {
    return new Uint8Array(sign('sha256', data, this.#key));
  }

  /** Signs data in parts. */
  protected startDer(): { update(part: Uint8Array): void; end(): Uint8Array } {
    const running = createSign('sha256');
    return {
      update: (part) => void running.update(part),
      end: () => new Uint8Array(running.sign(this.#key)),
    };
  }

  /** ECDSA with SHA-256, r and s of 32 bytes each. */
  protected signFlat(data: Uint8Array): Uint8Array {
    return flat(sign('sha256', data, this.#key));
  }

  toJSON(): string {
    return 'redacted';
  }

  [inspect.custom](): string {
    return `${this.constructor.name} redacted`;
  }
}

/** Faster than OpenSSL's own encoder, which takes as long as generating the key. */
function spkiOf(key: KeyObject): Uint8Array {
  const { x, y } = key.export({ format: 'jwk' });
  const coordinates = [x, y].map((each) => Buffer.from(each!, 'base64url'));
  return new Uint8Array(Buffer.concat([spkiPrefix, ...coordinates]));
}

/** The key of a device's or daemon's certificate. It is generated where it is used, and never leaves. */
export class TlsKey extends P256Key {
  static generate(): TlsKey {
    const { privateKey, publicKey } = P256Key.generateKey();
    return new TlsKey(privateKey, publicKey);
  }

  /** @throws SECRET_CORRUPT */
  static fromPkcs8(der: Uint8Array): TlsKey {
    return new TlsKey(P256Key.readKey(der));
  }

  /** For proofs of possession: ECDSA with SHA-256, 64 bytes, as WebCrypto signs. */
  sign(data: Uint8Array): Uint8Array {
    return this.signFlat(data);
  }
}

/**
 * Node's own `ieee-p1363` takes longer than the signature.
 * @param signature the output of OpenSSL: SEQUENCE { INTEGER r, INTEGER s }, 72 bytes at most.
 */
function flat(signature: Uint8Array): Uint8Array {
  const out = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    const next = at + 2 + signature[at + 1]!;
    // Skips the zero before a number whose first bit is set.
    const digits = signature.subarray(Math.max(at + 2, next - 32), next);
    out.set(digits, end - digits.length);
    at = next;
  }
  return out;
}
