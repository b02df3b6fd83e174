// The key that seals every record. It comes from key-file.ts, passphrase.ts or credential.ts.

import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

export const MASTER_KEY_BYTES = 32;

const NO_SALT = new Uint8Array(0);

/** A master key. Its bytes cannot be read back or printed; it derives one key for each purpose. */
export class MasterKey {
  readonly #key: KeyObject;
  /** The id of this key: 32 hex characters, derived one way, not secret. */
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

/** The new key for `FilesystemSecretStore.rekey`, and how to install it for the next start. */
export interface NextMasterKey {
  readonly masterKey: MasterKey;
  /**
   * Installs the new key durably, so that its provider returns it from now on. Called once, after every record is sealed
   * under it. Absent if the caller keeps the key elsewhere (a credential).
   */
  readonly install?: () => Promise<void>;
}
