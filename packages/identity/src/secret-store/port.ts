// Where private keys and CA state rest. A port of four methods and one sentinel error, SECRET_NOT_FOUND.

import { IdentityError } from '../errors.ts';

/** Names: 1 to 128 characters of a-z 0-9 / . _ -, no empty, `.` or `..` segment. Anything else is a TypeError. */
export type SecretName = string;

/** Largest secret, bytes. */
export const MAX_SECRET_BYTES = 64 * 1024;

/** What is enough for who only looks. */
export interface SecretReader {
  /** The secret's bytes, the caller's own copy. Throws SECRET_NOT_FOUND, SECRET_CORRUPT, STORE_PERMISSIONS, STORE_FAILED. */
  read(name: SecretName): Promise<Uint8Array>;
  /** The names that start with the prefix, sorted. */
  list(prefix?: string): Promise<SecretName[]>;
}

export interface SecretStore extends SecretReader {
  /** Durable and atomic when it resolves: after a crash the old or the new bytes are there, never a mixture. */
  write(name: SecretName, secret: Uint8Array): Promise<void>;
  /** Throws SECRET_NOT_FOUND when there is none. Durable when it resolves. */
  delete(name: SecretName): Promise<void>;
}

/** @throws TypeError for what no store takes. */
export function checkSecret(secret: Uint8Array): void {
  if (!(secret instanceof Uint8Array) || secret.length > MAX_SECRET_BYTES)
    throw new TypeError(`A secret is a Uint8Array of at most ${MAX_SECRET_BYTES} bytes`);
}

/** The sentinel. */
export function secretNotFound(name: SecretName): IdentityError {
  return new IdentityError('SECRET_NOT_FOUND', `There is no secret "${name}".`);
}
