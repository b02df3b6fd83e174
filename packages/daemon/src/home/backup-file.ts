// The backup file: age (age-encryption.org/v1) around a magic line, a line of JSON, and the registry as an
// SQLite file. `age -d` can also open it.

import { createHash, type Hash, randomBytes } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { link, lstat, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { IdentityError } from '@palyra/identity';
import { parseTrustDomain } from '@palyra/identity/certificate';
import { codeOf, parseDeviceId } from '@palyra/identity/values';
import type { Decrypter } from 'age-encryption';
import { z } from 'zod';
import { configSchema, type DaemonConfigInput } from '../config.ts';
import type { RegistryCopy } from './backup-copy.ts';
import { type BackupKey, type BackupOpener, decrypterFor, encrypterFor } from './backup-key.ts';
import { unlessMissing } from './file-error.ts';

const magic = 'palyra-backup-v2';
/** The first two lines; the rest is streamed. */
const maxHeadBytes = 64 * 1024 * 1024;

/** The last time that Date can represent (ECMA-262 21.4.1.1). */
const lastMs = 8.64e15;

const headSchema = z.strictObject({
  madeAtMs: z.number().int().positive().max(lastMs),
  daemonId: readBy(parseDeviceId),
  trustDomain: readBy(parseTrustDomain),
  /** The last row of the registry's audit. */
  audit: z.strictObject({ seq: z.number().int().positive(), hash: z.string().regex(/^[0-9a-f]{64}$/) }),
  /** The configuration as written. Missing fields get the defaults of the restoring version. */
  config: z.custom<DaemonConfigInput>((written) => configSchema.safeParse(written).success),
  secrets: z.record(z.string(), z.base64()),
});
export type BackupHead = z.infer<typeof headSchema>;

export interface BackupContents {
  readonly head: BackupHead;
  readonly registry: RegistryCopy;
}

/**
 * Writes the file, whole or not at all, and reads it again before it gets its name.
 * @param options.earlier the file to replace after the new one is complete. Default: none.
 * @param options.signal ends the work with its reason.
 * @throws BACKUP_EXISTS for a file that must not be replaced; BACKUP_UNREADABLE when the disk gives back something else;
 *   errors of the disk.
 */
export async function writeBackup(
  file: string,
  { head, registry }: BackupContents,
  key: BackupKey,
  {
    earlier,
    signal,
  }: { readonly earlier?: BigIntStats | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { encrypter, check } = await encrypterFor(key, signal);
  const written = createHash('sha256');
  const bytes = hashed(contents(head, registry.path), written, signal);
  const plain = Readable.toWeb(Readable.from(bytes)) as ReadableStream<Uint8Array>;
  // A unique name, so that no other file of the user is touched.
  const partial = `${file}.${randomBytes(16).toString('hex')}.partial`;
  await registry.announce(partial);
  try {
    await writeNew(partial, await encrypter.encrypt(plain));
    await mustHold(partial, check, written.digest('hex'), signal);
    if (earlier) await replaceSame(earlier, partial, file);
    else await linkNew(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
  await syncFolder(dirname(resolve(file)));
}

/** Decrypts all of the file. @throws BACKUP_UNREADABLE unless it holds the bytes with this hash. */
async function mustHold(file: string, check: Decrypter, sha256: string, signal?: AbortSignal): Promise<void> {
  const read = createHash('sha256');
  const source = createReadStream(file);
  try {
    const plain = await check.decrypt(Readable.toWeb(source) as ReadableStream<Uint8Array>);
    for await (const _ of hashed(plain, read, signal));
  } catch (cause) {
    if (signal?.aborted || isOfSystem(cause)) throw cause;
    throw notAsWritten(cause);
  } finally {
    source.destroy();
  }
  if (read.digest('hex') !== sha256) throw notAsWritten();
}

async function* hashed(
  bytes: AsyncIterable<Uint8Array>,
  hash: Hash,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    signal?.throwIfAborted();
    hash.update(chunk);
    yield chunk;
  }
}

function notAsWritten(cause?: unknown): IdentityError {
  const message = 'The backup was written, but the disk gives back something else. It was removed.';
  return new IdentityError('BACKUP_UNREADABLE', message, { cause });
}

/** @throws BACKUP_EXISTS */
export async function mustNotExist(file: string): Promise<void> {
  if (await lstat(file).catch(() => undefined)) throw exists(file);
}

/** Refuses a file that somebody else put there meanwhile, because it was not checked. @throws BACKUP_EXISTS */
async function replaceSame(earlier: BigIntStats, partial: string, file: string): Promise<void> {
  const present = await stat(file, { bigint: true }).catch(unlessMissing);
  if (!present) return linkNew(partial, file);
  if (present.ino !== earlier.ino || present.mtimeNs !== earlier.mtimeNs) throw exists(file);
  await rename(partial, file);
}

/** Unlike a rename, this never replaces a file. */
async function linkNew(partial: string, file: string): Promise<void> {
  try {
    await link(partial, file);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') throw exists(file);
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw error;
    // For a disk without links (FAT, some network disks).
    await mustNotExist(file);
    await rename(partial, file);
  }
}

function exists(file: string): IdentityError {
  return new IdentityError('BACKUP_EXISTS', `${file} already exists.`, { about: 'backup' });
}

async function* contents(head: BackupHead, registry: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${magic}\n${JSON.stringify(head)}\n`);
  yield* createReadStream(registry);
}

export async function writeNew(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of bytes) await file.writeFile(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

/** Reads the head of a backup. @throws BACKUP_UNREADABLE; errors of the disk. */
export async function readBackupHead(file: string, opener: BackupOpener): Promise<BackupHead> {
  return readBackup(file, opener, async (head) => head);
}

/**
 * Decrypts a backup.
 * @param take gets the data after the head; unread parts are not authenticated.
 * @throws BACKUP_UNREADABLE for a wrong passphrase or identity, or a damaged file; errors of the disk.
 */
export async function readBackup(
  file: string,
  opener: BackupOpener,
  take: (head: BackupHead, registry: AsyncIterable<Uint8Array>) => Promise<BackupHead>,
): Promise<BackupHead> {
  const decrypter = await decrypterFor(opener);
  await stat(file);
  const source = createReadStream(file);
  try {
    const encrypted = Readable.toWeb(source) as ReadableStream<Uint8Array>;
    const plain = await decrypter.decrypt(encrypted);
    const chunks = plain[Symbol.asyncIterator]();
    let start = Buffer.alloc(0);
    let end = -1;
    while (end < 0) {
      const { value, done } = await chunks.next();
      if (done || start.length > maxHeadBytes) throw new Error('it does not begin like a backup');
      start = Buffer.concat([start, value]);
      end = start.indexOf(10, magic.length + 1);
    }
    if (!start.subarray(0, magic.length + 1).equals(Buffer.from(`${magic}\n`)))
      throw new Error('it is not a backup');
    const head = headSchema.parse(JSON.parse(start.subarray(magic.length + 1, end).toString()));
    return await take(head, rest(start.subarray(end + 1), chunks));
  } catch (cause) {
    // Errors of the disk are reported as such.
    if (isOfSystem(cause)) throw cause;
    const wrong = 'passphrase' in opener ? 'the passphrase is wrong' : 'none of the identities is for it';
    throw unreadable(
      cause instanceof z.ZodError
        ? `${file} opens, but its description is invalid (${[...new Set(cause.issues.map(({ path }) => String(path[0] ?? 'all fields')))].join(', ')})`
        : `${file} cannot be opened: ${wrong}, or the file is damaged or not a backup`,
      cause,
    );
  } finally {
    source.destroy();
  }
}

const isOfSystem = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && 'syscall' in error;

export function unreadable(why: string, cause: unknown): IdentityError {
  return new IdentityError('BACKUP_UNREADABLE', `${why}. Nothing was changed.`, { cause });
}

/** Text for the parser. */
function readBy(parse: (text: string) => unknown) {
  return z.string().refine((text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  });
}

async function* rest(first: Uint8Array, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
}
