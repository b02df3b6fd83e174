// The one key every record is sealed under. Where it comes from: key-file.ts, passphrase.ts, credential.ts.

import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

export const MASTER_KEY_BYTES = 32;

const NO_SALT = new Uint8Array(0);

/** A master key whose bytes cannot be read back or printed; keys for one purpose each are derived from it. */
export class MasterKey {
  readonly #key: KeyObject;
  /** Which key this is: 32 hex characters, derived one way, not secret. */
  readonly id: string;

  /** @param bytes 32 from a CSPRNG or a password hash; copied. @throws TypeError for any other length. */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array) || bytes.length !== MASTER_KEY_BYTES)
      throw new TypeError(`A master key is ${MASTER_KEY_BYTES} bytes`);
    this.#key = createSecretKey(bytes);
    this.id = Buffer.from(this.derive('palyra-secret-v1 key id', 16)).toString('hex');
  }

  /** HKDF-SHA-256 (RFC 5869). One label per purpose, so that no two uses share a key. */
  derive(label: string, lengthBytes: number, salt: Uint8Array = NO_SALT): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.#key, salt, label, lengthBytes));
  }

  toJSON(): string {
    return 'MasterKey [redacted]';
  }

  toString(): string {
    return 'MasterKey [redacted]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return 'MasterKey [redacted]';
  }
}

/** What `FilesystemSecretStore.rekey` needs: the new key, and how to put it where the next start looks for it. */
export interface NextMasterKey {
  readonly masterKey: MasterKey;
  /**
   * Makes the new key the one its provider gives from now on, durably. Called once, when every record already
   * rests sealed under it. Absent when the caller keeps the key elsewhere (a credential).
   */
  readonly install?: () => Promise<void>;
}
