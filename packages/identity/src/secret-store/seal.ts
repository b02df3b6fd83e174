// The format of a stored record. Offsets are fixed, so that no unauthenticated data has to be parsed:
//
//    0  magic            16  "palyra-secret-v1"
//   16  key id           16  id of the master key that sealed it
//   32  salt             32  random, new for every write
//   64  sealed name     144  the name, zero-padded to 128, and a tag: for listing a folder of records
//  208  sealed secret        the secret and a tag
//
// Both parts are sealed with ChaCha20-Poly1305 (RFC 8439) under keys that HKDF derives from master key and salt. Each
// key seals once, so its nonce is zero. The sealed secret authenticates format version, record name and sealed name.

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { IdentityError } from '../errors.ts';
import { lvCat } from '../lv.ts';
import type { MasterKey } from './master-key.ts';
import { MAX_SECRET_BYTES, type SecretName } from './port.ts';

const MAGIC = new TextEncoder().encode('palyra-secret-v1');
const KEY_ID_AT = 16;
const SALT_AT = 32;
const NAME_AT = 64;
const SECRET_AT = 208;
const NAME_BYTES = 128;
const TAG_BYTES = 16;
const CIPHER = 'chacha20-poly1305';
const NONCE = new Uint8Array(12);

/** The size of the part that `openRecordName` needs, bytes. */
export const RECORD_HEAD_BYTES = SECRET_AT;
/** Largest record, bytes. */
export const MAX_RECORD_BYTES = SECRET_AT + MAX_SECRET_BYTES + TAG_BYTES;

/** Seals a secret under its name. The caller has checked both (name.ts, MAX_SECRET_BYTES). */
export function sealRecord(masterKey: MasterKey, name: SecretName, secret: Uint8Array): Uint8Array {
  const salt = randomBytes(NAME_AT - SALT_AT);
  const paddedName = new Uint8Array(NAME_BYTES);
  new TextEncoder().encodeInto(name, paddedName);
  const sealedName = encrypt(nameKey(masterKey, salt), nameContext(), paddedName);
  const sealedSecret = encrypt(secretKey(masterKey, salt), secretContext(name, sealedName), secret);
  const record = Buffer.concat([MAGIC, Buffer.from(masterKey.id, 'hex'), salt, sealedName, sealedSecret]);
  return new Uint8Array(record);
}

/**
 * Opens the secret of a record sealed under this name.
 * @param where how messages name the record.
 * @throws SECRET_CORRUPT for a damaged record, other data, or the record of another name; MASTER_KEY_WRONG.
 */
export function openRecord(
  masterKey: MasterKey,
  name: SecretName,
  record: Uint8Array,
  where: string,
): Uint8Array {
  if (record.length < SECRET_AT + TAG_BYTES || record.length > MAX_RECORD_BYTES) throw corrupt(where);
  return unseal(masterKey, record, where, (salt, sealedName) =>
    decrypt(secretKey(masterKey, salt), secretContext(name, sealedName), record.subarray(SECRET_AT)),
  );
}

/**
 * Opens the name in a record's first RECORD_HEAD_BYTES.
 * @throws SECRET_CORRUPT, MASTER_KEY_WRONG
 */
export function openRecordName(masterKey: MasterKey, head: Uint8Array, where: string): SecretName {
  if (head.length < SECRET_AT) throw corrupt(where);
  const padded = unseal(masterKey, head, where, (salt, sealedName) =>
    decrypt(nameKey(masterKey, salt), nameContext(), sealedName),
  );
  return new TextDecoder().decode(padded).split('\0', 1)[0]!;
}

/** The name under which a record is stored: HMAC-SHA-256 of the secret's name, in hex. It does not reveal the name. */
export function recordLabel(masterKey: MasterKey): (name: SecretName) => string {
  const key = masterKey.derive('palyra-secret-v1 file name', 32);
  return (name) => createHmac('sha256', key).update(name).digest('hex');
}

function unseal(
  masterKey: MasterKey,
  record: Uint8Array,
  where: string,
  open: (salt: Uint8Array, sealedName: Uint8Array) => Uint8Array,
): Uint8Array {
  if (Buffer.compare(record.subarray(0, MAGIC.length), MAGIC) !== 0) throw corrupt(where);
  const ours = Buffer.from(record.subarray(KEY_ID_AT, SALT_AT)).toString('hex') === masterKey.id;
  let opened: Uint8Array;
  try {
    opened = open(record.subarray(SALT_AT, NAME_AT), record.subarray(NAME_AT, SECRET_AT));
  } catch {
    if (ours) throw corrupt(where);
    throw new IdentityError(
      'MASTER_KEY_WRONG',
      `${where} was sealed under another master key than the one given. Check the key file, passphrase or ` +
        'credential, or restore store and key from the same backup.',
    );
  }
  // The name opened under our key, so the key id itself is damaged.
  if (!ours) throw corrupt(where);
  return opened;
}

function nameKey(masterKey: MasterKey, salt: Uint8Array): Uint8Array {
  return masterKey.derive('palyra-secret-v1 record name', 32, salt);
}

function secretKey(masterKey: MasterKey, salt: Uint8Array): Uint8Array {
  return masterKey.derive('palyra-secret-v1 record secret', 32, salt);
}

function nameContext(): Uint8Array {
  return lvCat(MAGIC, 'name');
}

function secretContext(name: SecretName, sealedName: Uint8Array): Uint8Array {
  return lvCat(MAGIC, 'secret', name, sealedName);
}

function encrypt(key: Uint8Array, context: Uint8Array, plain: Uint8Array): Buffer {
  const cipher = createCipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES });
  cipher.setAAD(context, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Throws if any byte was changed. The result has its own buffer, because a pooled one would expose other data. */
function decrypt(key: Uint8Array, context: Uint8Array, sealed: Uint8Array): Uint8Array {
  const decipher = createDecipheriv(CIPHER, key, NONCE, { authTagLength: TAG_BYTES });
  decipher.setAAD(context, { plaintextLength: sealed.length - TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const plain = new Uint8Array(decipher.update(sealed.subarray(0, -TAG_BYTES)));
  decipher.final();
  return plain;
}

function corrupt(where: string): IdentityError {
  return new IdentityError(
    'SECRET_CORRUPT',
    `${where} is damaged, is not a sealed record, or was swapped with another one. Restore it from a backup.`,
  );
}
