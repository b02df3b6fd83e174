// A master key from a passphrase, by scrypt (RFC 7914). A small header beside the secrets, a file in the store's folder or a row
// of a shared database, has the salt and the cost:
//
//    0  magic        20  "palyra-passphrase-v1"
//   20  cost          1  low five bits: log2 of scrypt's N; high three bits: p - 1; r is 8
//   21  salt         32
//   53  key id       16  of the resulting key, so that a wrong passphrase is detected at once

import { randomBytes, scrypt } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { IdentityError } from '../errors.ts';
import { MASTER_KEY_BYTES, MasterKey, type NextMasterKey } from './master-key.ts';
import { checkStrength } from './passphrase-strength.ts';
import {
  createFile,
  makePrivateFolder,
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  withStoreErrors,
} from './private-file.ts';

const MAGIC = Buffer.from('palyra-passphrase-v1');
const COST_AT = 20;
const SALT_AT = 21;
const KEY_ID_AT = 53;
const HEADER_BYTES = 69;
const BLOCK_SIZE = 8;
const MAX_PASSPHRASE_CHARACTERS = 1024;
// Below this range a guess is too cheap. Above it, a damaged header would ask for gigabytes.
const MIN_LOG_N = 15;
const MAX_LOG_N = 20;
const MAX_P = 8;
/**
 * 128 MiB, which a small machine has, and three times the work that OWASP recommends, because a start can take that
 * long.
 */
const DEFAULT_LOG_N = 17;
const DEFAULT_P = 3;

/** The cost of a guess: 2^logN KiB of memory, and p passes over it. */
export interface ScryptCost {
  /** log2 of N: 15 to 20. */
  readonly logN: number;
  /** 1 to 8. */
  readonly p: number;
}

/** Where the header of a secret store is. */
export interface PassphraseHeader {
  /** For messages, as in "The header in the database". */
  readonly name: string;
  read(): Promise<Uint8Array | undefined>;
  /** Stores the header durably, unless there is one. */
  add(header: Uint8Array): Promise<void>;
}

interface NewPassphrase {
  /** 1 to 1024 characters, compared under Unicode NFC. A new one must not be guessable (passphrase-strength.ts). */
  readonly passphrase: string;
  /**
   * The cost in a new header; default `{ logN: 17, p: 3 }` (128 MiB and one to two seconds). An existing header keeps
   * its own cost.
   */
  readonly cost?: ScryptCost;
}

interface PassphraseUse extends NewPassphrase {
  /**
   * Do not create a header, because records sealed under the key exist or the caller only reads. Default: create it.
   */
  readonly mustExist?: boolean;
}

export interface PassphraseOptions extends PassphraseUse {
  /** The folder of the FilesystemSecretStore that the key is for. */
  readonly storePath: string;
}

export interface SharedPassphraseOptions extends PassphraseUse {
  /** Where all of them find the header. */
  readonly header: PassphraseHeader;
}

/**
 * Derives the key of the passphrase. Creates the header at first use.
 * @throws PASSPHRASE_WEAK, without creating a header; MASTER_KEY_WRONG for another passphrase; SECRET_CORRUPT for a
 * header that cannot be read; STORE_PERMISSIONS, STORE_FULL, STORE_FAILED; TypeError for an empty passphrase or a cost
 * out of range.
 */
export async function masterKeyFromPassphrase(options: PassphraseOptions): Promise<MasterKey> {
  const path = headerPath(options);
  return withStoreErrors(path, () => masterKeyBySharedPassphrase({ ...options, header: headerFile(path) }));
}

/**
 * The key of a secret store that several programs share: all of them derive it with the header that the first one stored.
 * @throws as `masterKeyFromPassphrase`, and errors of the header's place.
 */
export async function masterKeyBySharedPassphrase(options: SharedPassphraseOptions): Promise<MasterKey> {
  checkOptions(options);
  const { header, mustExist } = options;
  let found = await header.read();
  if (found === undefined && !mustExist) {
    await header.add((await makeHeader(options)).header);
    found = await header.read();
  }
  return openHeader(options, found ?? new Uint8Array(0));
}

/** A header for a new secret store, and its key. @throws PASSPHRASE_WEAK, TypeError */
export async function newPassphraseHeader(
  options: NewPassphrase,
): Promise<{ readonly masterKey: MasterKey; readonly header: Uint8Array }> {
  checkOptions(options);
  return makeHeader(options);
}

function headerFile(path: string): PassphraseHeader {
  return {
    name: path,
    read: () => readPrivateFile(path, HEADER_BYTES + 1),
    async add(header) {
      await makePrivateFolder(dirname(path));
      await createFile(path, header);
    },
  };
}

/** The key of a new passphrase. `rekey` replaces the old header with its header. @throws PASSPHRASE_WEAK, TypeError */
export async function nextMasterKeyForPassphrase(options: PassphraseOptions): Promise<NextMasterKey> {
  checkOptions(options);
  const { masterKey, header } = await makeHeader(options);
  const path = headerPath(options);
  return {
    masterKey,
    install: () =>
      withStoreErrors(path, async () => {
        await removeLeftovers(dirname(path), path);
        await replaceFile(path, header);
      }),
  };
}

async function makeHeader(options: NewPassphrase): Promise<{ masterKey: MasterKey; header: Uint8Array }> {
  await checkStrength(options.passphrase);
  const cost = options.cost ?? { logN: DEFAULT_LOG_N, p: DEFAULT_P };
  const salt = randomBytes(KEY_ID_AT - SALT_AT);
  const masterKey = await stretch(options.passphrase, cost, salt);
  return {
    masterKey,
    header: Buffer.concat([
      MAGIC,
      Uint8Array.of(((cost.p - 1) << 5) | cost.logN),
      salt,
      Buffer.from(masterKey.id, 'hex'),
    ]),
  };
}

async function openHeader(options: SharedPassphraseOptions, header: Uint8Array): Promise<MasterKey> {
  const costByte = header[COST_AT] ?? 0;
  const cost = { logN: costByte & 0x1f, p: (costByte >> 5) + 1 };
  const magicHolds = Buffer.compare(header.subarray(0, COST_AT), MAGIC) === 0;
  if (header.length !== HEADER_BYTES || !magicHolds || !isAllowed(cost))
    throw new IdentityError(
      'SECRET_CORRUPT',
      `${options.header.name} is damaged, and without it no passphrase opens the store. Restore it from a backup.`,
    );
  const masterKey = await stretch(options.passphrase, cost, header.subarray(SALT_AT, KEY_ID_AT));
  if (masterKey.id !== Buffer.from(header.subarray(KEY_ID_AT)).toString('hex'))
    throw new IdentityError(
      'MASTER_KEY_WRONG',
      `This is not the passphrase of the secret store, or ${options.header.name} was changed. Try again, or restore it from a backup.`,
    );
  return masterKey;
}

const scryptAsync = promisify<string, Uint8Array, number, object, Buffer>(scrypt);

async function stretch(passphrase: string, { logN, p }: ScryptCost, salt: Uint8Array): Promise<MasterKey> {
  const N = 2 ** logN;
  // By default, Node refuses more than 32 MiB. scrypt fills N blocks of 128 r bytes, one pass after the other.
  const options = { N, r: BLOCK_SIZE, p, maxmem: 2 * 128 * N * BLOCK_SIZE };
  return new MasterKey(await scryptAsync(passphrase.normalize('NFC'), salt, MASTER_KEY_BYTES, options));
}

function headerPath(options: Pick<PassphraseOptions, 'storePath'>): string {
  return join(resolve(options.storePath), 'passphrase');
}

function checkOptions({ passphrase, cost }: NewPassphrase): void {
  if (typeof passphrase !== 'string' || passphrase === '' || passphrase.length > MAX_PASSPHRASE_CHARACTERS)
    throw new TypeError(`A passphrase is 1 to ${MAX_PASSPHRASE_CHARACTERS} characters`);
  if (cost !== undefined && !isAllowed(cost))
    throw new TypeError(
      `The cost of scrypt is log2 N of ${MIN_LOG_N} to ${MAX_LOG_N}, and p of 1 to ${MAX_P}`,
    );
}

function isAllowed({ logN, p }: ScryptCost): boolean {
  const isWithin = (value: number, least: number, most: number) =>
    Number.isInteger(value) && value >= least && value <= most;
  return isWithin(logN, MIN_LOG_N, MAX_LOG_N) && isWithin(p, 1, MAX_P);
}
