// The store for private keys and CA state: a port of four methods and one sentinel error, SECRET_NOT_FOUND.

import { IdentityError } from '../errors.ts';

/** Names: 1 to 128 characters of a-z 0-9 / . _ -, no empty, `.` or `..` segment. Anything else is a TypeError. */
export type SecretName = string;

/** Largest secret, bytes. */
export const MAX_SECRET_BYTES = 64 * 1024;

/** The part for readers. */
export interface SecretReader {
  /** Returns a copy of the secret's bytes. Throws SECRET_NOT_FOUND, SECRET_CORRUPT, STORE_PERMISSIONS, STORE_FAILED. */
  read(name: SecretName): Promise<Uint8Array>;
  /** Returns the names that start with the prefix, sorted. */
  list(prefix?: string): Promise<SecretName[]>;
}

export interface SecretStore extends SecretReader {
  /** Atomic, and durable when it resolves: after a crash, the store has the old or the new bytes, never a mixture. */
  write(name: SecretName, secret: Uint8Array): Promise<void>;
  /** Durable when it resolves. Throws SECRET_NOT_FOUND if there is no such secret. */
  delete(name: SecretName): Promise<void>;
}

/** A store that several daemons may share. */
export interface SharedSecretStore extends SecretStore {
  /**
   * Stores the secret unless there is one of this name. Of several callers, one stores.
   * @returns the secret that is stored now.
   */
  writeNew(name: SecretName, secret: Uint8Array): Promise<Uint8Array>;
}

/** @throws TypeError for a value that no store accepts. */
export function checkSecret(secret: Uint8Array): void {
  if (!(secret instanceof Uint8Array) || secret.length > MAX_SECRET_BYTES)
    throw new TypeError(`A secret is a Uint8Array of at most ${MAX_SECRET_BYTES} bytes`);
}

/** The sentinel error. */
export function secretNotFound(name: SecretName): IdentityError {
  return new IdentityError('SECRET_NOT_FOUND', `There is no secret "${name}".`);
}
