// How a backup is encrypted and opened: with a passphrase, or for age recipients with their identities.

import { IdentityError } from '@palyra/identity';
import { readCredential } from '@palyra/identity/keys';
import type { Decrypter, Encrypter, Identity, Recipient, Stanza } from 'age-encryption';

/** Encrypts. The work factor of scrypt is the log2 of N: seconds for each guess at the passphrase. */
export type BackupKey =
  | { readonly passphrase: string; readonly scryptLogN: number }
  | { readonly recipients: readonly string[] };

/** Opens. Identities are lines of an age identity file: `AGE-SECRET-KEY-1...` */
export type BackupOpener = { readonly passphrase: string } | { readonly identities: readonly string[] };

/** @returns what encrypts, and what opens the result again, to check it. Both fail with the reason of an aborted signal. */
export async function encrypterFor(
  key: BackupKey,
  signal?: AbortSignal,
): Promise<{ readonly encrypter: Encrypter; readonly check: Decrypter }> {
  const { Encrypter, Decrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  const check = new Decrypter();
  if ('passphrase' in key) {
    const { ScryptRecipient, ScryptIdentity } = await import('./scrypt-stanza.ts');
    const passphrase = asTyped(key.passphrase);
    encrypter.addRecipient(new ScryptRecipient(passphrase, key.scryptLogN, signal));
    check.addIdentity(new ScryptIdentity(passphrase, signal));
    return { encrypter, check };
  }
  for (const recipient of key.recipients) encrypter.addRecipient(recipient);
  // Nobody here has the recipients' identities, so the check keeps the key of this one file.
  const kept = new KeptFileKey();
  encrypter.addRecipient(kept);
  check.addIdentity(kept);
  return { encrypter, check };
}

/** @throws BACKUP_UNREADABLE for an identity that is none. */
export async function decrypterFor(opener: BackupOpener): Promise<Decrypter> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  if ('passphrase' in opener) {
    const { ScryptIdentity } = await import('./scrypt-stanza.ts');
    decrypter.addIdentity(new ScryptIdentity(asTyped(opener.passphrase)));
    return decrypter;
  }
  for (const identity of opener.identities) {
    try {
      decrypter.addIdentity(identity);
    } catch {
      // The library's error could show the identity.
      throw notAnIdentity();
    }
  }
  return decrypter;
}

/** Checks recipients without encrypting. @throws MESSAGE_INVALID naming the one that is none. */
export async function checkRecipients(recipients: readonly string[]): Promise<void> {
  const { Encrypter } = await import('age-encryption');
  for (const recipient of recipients) {
    try {
      const encrypter = new Encrypter();
      encrypter.addRecipient(recipient);
      await encrypter.encrypt(new Uint8Array());
    } catch (cause) {
      throw new IdentityError('MESSAGE_INVALID', `${recipient.slice(0, 80)} is not an age recipient.`, {
        cause,
      });
    }
  }
}

/** Also holds post-quantum identities, which have some 2000 characters each. */
const maxIdentitiesBytes = 64 * 1024;

/**
 * Reads an age identity file: one identity on each line, and comments.
 * @throws STORE_PERMISSIONS if others may read it, STORE_FAILED, BACKUP_UNREADABLE for other contents.
 */
export async function readIdentities(path: string): Promise<string[]> {
  const bytes = await readCredential(path, maxIdentitiesBytes, { mayBePipe: true });
  const lines = new TextDecoder().decode(bytes.subarray(0, maxIdentitiesBytes)).split(/\r?\n/);
  const identities = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  if (bytes.length > maxIdentitiesBytes || identities.length === 0) throw notAnIdentity();
  await decrypterFor({ identities });
  return identities;
}

class KeptFileKey implements Recipient, Identity {
  #fileKey: Uint8Array | undefined;

  wrapFileKey(fileKey: Uint8Array): Stanza[] {
    this.#fileKey = fileKey.slice();
    return [];
  }

  unwrapFileKey(): Uint8Array | null {
    return this.#fileKey ?? null;
  }
}

/** Normalises the passphrase, because systems encode a typed umlaut differently (RFC 8265, section 4.2). */
const asTyped = (passphrase: string) => passphrase.normalize('NFC');

function notAnIdentity(): IdentityError {
  return new IdentityError(
    'BACKUP_UNREADABLE',
    'The file of identities holds something other than age identities (AGE-SECRET-KEY-...). An encrypted file or SSH keys cannot be used: decrypt the backup with age -d, or the file of identities.',
  );
}
