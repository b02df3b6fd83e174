// A master key from outside: a service manager's credential file (systemd, containers), or a value that the caller took
// from its environment. This library does not read the environment: the caller passes the path or the text.

import { resolve } from 'node:path';
import { IdentityError } from '../errors.ts';
import { readTrusted, type TrustedPathOptions } from '../files/trusted-path.ts';
import { MASTER_KEY_BYTES, MasterKey } from './master-key.ts';

const MAX_CREDENTIAL_BYTES = 256;

export interface CredentialOptions {
  /** The file, for instance `$CREDENTIALS_DIRECTORY/palyra` or `/run/secrets/palyra`. */
  readonly path: string;
}

/**
 * Reads the key from a credential file: 32 raw bytes, or text for `masterKeyFromText`.
 *
 * trusted-path.ts has the rules for its owner and mode. Symbolic links are allowed, because Kubernetes mounts
 * credentials so.
 * @throws STORE_PERMISSIONS; MASTER_KEY_WRONG for other contents; STORE_FAILED if there is no file.
 */
export async function masterKeyFromCredential(options: CredentialOptions): Promise<MasterKey> {
  const bytes = await readCredential(options.path, MAX_CREDENTIAL_BYTES);
  if (bytes.length === MASTER_KEY_BYTES) return new MasterKey(bytes);
  return parse(new TextDecoder().decode(bytes), `The credential ${options.path}`);
}

/**
 * Reads a secret from a file that the administrator of the service provides; trusted-path.ts has the rules for it.
 * @returns at most `maxBytes` + 1 bytes, so that the caller can detect a file that is too long.
 * @throws STORE_PERMISSIONS; STORE_FAILED if there is no file.
 */
export async function readCredential(
  file: string,
  maxBytes: number,
  options: Pick<TrustedPathOptions, 'mayBePipe'> = {},
): Promise<Uint8Array> {
  const bytes = await readTrusted(file, maxBytes + 1, { ...options, isSecret: true });
  if (bytes !== undefined) return bytes;
  throw new IdentityError(
    'STORE_FAILED',
    `${resolve(file)} does not exist. Check the path, and that the service receives its credential.`,
  );
}

/**
 * Reads the key from text: 32 bytes as 64 hex digits or as base64 (either alphabet, padded or not). Ignores white space
 * around it.
 * @throws MASTER_KEY_WRONG
 */
export function masterKeyFromText(text: string): MasterKey {
  return parse(text, 'The value given as master key');
}

function parse(text: string, what: string): MasterKey {
  const value = text.length > MAX_CREDENTIAL_BYTES ? '' : text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(value)) return new MasterKey(Buffer.from(value, 'hex'));
  if (/^[\w+/-]{43}=?$/.test(value)) return new MasterKey(Buffer.from(value, 'base64'));
  throw new IdentityError(
    'MASTER_KEY_WRONG',
    `${what} is not ${MASTER_KEY_BYTES} bytes as raw bytes, 64 hex digits or base64. Make one with: openssl rand -hex 32`,
  );
}
