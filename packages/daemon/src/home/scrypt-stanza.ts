// age's encryption with a passphrase (age-encryption.org/v1, "The scrypt recipient type") on Node's scrypt. The one of
// age-encryption computes on the main thread, and a running daemon would answer nobody for seconds.

import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { type Identity, type Recipient, Stanza } from 'age-encryption';

const label = 'age-encryption.org/v1/scrypt';
/** A file with more would take gigabytes of memory. */
const maxLogN = 20;
const saltBytes = 16;
const tagBytes = 16;
const fileKeyBytes = 16;
/** OpenSSL also needs some where N is small. */
const leastBytes = 1024 * 1024;
/** Each key is used once. */
const nonce = Buffer.alloc(12);

export class ScryptRecipient implements Recipient {
  readonly #passphrase: string;
  readonly #logN: number;
  readonly #signal: AbortSignal | undefined;

  /** @param signal ends the wait for the key, with its reason. */
  constructor(passphrase: string, logN: number, signal?: AbortSignal) {
    this.#passphrase = passphrase;
    this.#logN = logN;
    this.#signal = signal;
  }

  async wrapFileKey(fileKey: Uint8Array): Promise<Stanza[]> {
    const salt = randomBytes(saltBytes);
    const cipher = createCipheriv(
      'chacha20-poly1305',
      await derive(this.#passphrase, salt, this.#logN, this.#signal),
      nonce,
      {
        authTagLength: tagBytes,
      },
    );
    const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
    return [new Stanza(['scrypt', unpadded(salt), String(this.#logN)], new Uint8Array(body))];
  }
}

export class ScryptIdentity implements Identity {
  readonly #passphrase: string;
  readonly #signal: AbortSignal | undefined;

  /** @param signal ends the wait for the key, with its reason. */
  constructor(passphrase: string, signal?: AbortSignal) {
    this.#passphrase = passphrase;
    this.#signal = signal;
  }

  async unwrapFileKey(stanzas: Stanza[]): Promise<Uint8Array | null> {
    const [stanza, ...others] = stanzas;
    if (stanza?.args[0] !== 'scrypt') return null;
    const [, saltText = '', work = '', ...more] = stanza.args;
    const salt = Buffer.from(saltText, 'base64');
    const isValid =
      others.length === 0 &&
      more.length === 0 &&
      salt.length === saltBytes &&
      unpadded(salt) === saltText &&
      /^[1-9][0-9]?$/.test(work) &&
      stanza.body.length === fileKeyBytes + tagBytes;
    if (!isValid) throw new Error('invalid scrypt stanza');
    if (Number(work) > maxLogN) throw new Error('scrypt work factor is too high');
    const key = await derive(this.#passphrase, salt, Number(work), this.#signal);
    const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
    decipher.setAuthTag(stanza.body.subarray(fileKeyBytes));
    try {
      const fileKey = Buffer.concat([
        decipher.update(stanza.body.subarray(0, fileKeyBytes)),
        decipher.final(),
      ]);
      return new Uint8Array(fileKey);
    } catch {
      // Another passphrase.
      return null;
    }
  }
}

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

/** Node cannot end a scrypt, so an abort only ends the wait for it. */
async function derive(
  passphrase: string,
  salt: Buffer,
  logN: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  signal?.throwIfAborted();
  const [N, r] = [2 ** logN, 8];
  const salted = Buffer.concat([Buffer.from(label), salt]);
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const stop = () => reject(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  scrypt(passphrase, salted, 32, { N, r, p: 1, maxmem: 256 * N * r + leastBytes }, (error, key) => {
    signal?.removeEventListener('abort', stop);
    if (error) reject(error);
    else resolve(key);
  });
  return promise;
}
