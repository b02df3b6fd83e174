// A master key that somebody else keeps: a service manager's credential file (systemd, containers), or a value that
// the caller took from its environment. This library reads no environment: it is handed the path or the text.

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
 * The key in a credential file: 32 raw bytes, or the text that `masterKeyFromText` takes.
 *
 * Whose it may be, and who may read it: trusted-path.ts. A symbolic link will do (Kubernetes mounts it so).
 * @throws STORE_PERMISSIONS; MASTER_KEY_WRONG for what is not a key; STORE_FAILED when there is no file.
 */
export async function masterKeyFromCredential(options: CredentialOptions): Promise<MasterKey> {
  const bytes = await readCredential(options.path, MAX_CREDENTIAL_BYTES);
  if (bytes.length === MASTER_KEY_BYTES) return new MasterKey(bytes);
  return parse(new TextDecoder().decode(bytes), `The credential ${options.path}`);
}

/**
 * A secret in a file that whoever runs the service put there; trusted-path.ts says who may read or change it.
 * @returns at most one byte more than `maxBytes`: whoever reads it sees that it is too long.
 * @throws STORE_PERMISSIONS; STORE_FAILED when there is no file.
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
    `${resolve(file)} is not there. Check the path, and that a service is given its credential.`,
  );
}

/**
 * The key in a text: 32 bytes as 64 hex digits or as base64 (either alphabet, padded or not); white space around it
 * is ignored.
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
