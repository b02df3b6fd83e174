// Checks, reads, creates and replaces files and folders that only their owner may access.

import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { link, lstat, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
// The user id is the operating system's, not configuration; absent on Windows, where modes mean nothing either.
import process from 'node:process';
import { IdentityError, type IdentityErrorOptions } from '../errors.ts';
import { reasonOf } from '../reason.ts';

type Kind = 'folder' | 'file';

/** @throws STORE_PERMISSIONS unless it is a real folder or file that only we own and can access. */
export function checkPrivate(path: string, stats: Stats, kind: Kind): void {
  if (stats.isSymbolicLink()) throw symbolicLink(path);
  if (kind === 'folder' ? !stats.isDirectory() : !stats.isFile())
    throw refused(`${path} is not a ${kind}. Move it away.`);
  const user = process.geteuid?.();
  if (user === undefined) return;
  if (stats.uid !== user)
    throw refused(`${path} belongs to user ${stats.uid}, not to ${user}. Run: chown ${user} ${quoted(path)}`);
  if ((stats.mode & 0o077) !== 0)
    throw refused(
      `Other users may read or write ${path}. Run: chmod ${kind === 'folder' ? 700 : 600} ${quoted(path)}`,
    );
}

/** Creates the folder (0700) and missing parents; durable when it resolves. */
export async function makeFolder(path: string): Promise<void> {
  const first = await makeParents(path);
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/**
 * Creates the folder and missing parents. Does not use Node's `recursive`, which retries for ever if the system reports
 * ENOENT although the parent exists, as below /proc.
 * @returns the first folder that it created; undefined if all exist.
 */
export async function makeParents(path: string, mode = 0o700): Promise<string | undefined> {
  const make = (folder: string) =>
    mkdir(folder, { mode }).then(
      () => folder,
      async (error) => {
        if (!hasErrno(error, 'EEXIST') || !(await stat(folder)).isDirectory()) throw error;
        return undefined;
      },
    );
  try {
    return await make(path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT') || path === dirname(path)) throw error;
  }
  const first = await makeParents(dirname(path), mode);
  const made = await make(path);
  return first ?? made;
}

/** Checks a private folder, and creates it if missing. @throws STORE_PERMISSIONS */
export async function makePrivateFolder(path: string): Promise<void> {
  // mkdir follows a link whose target is missing or a folder, so check first.
  const there = await lstat(path).catch(unlessMissing);
  if (there === undefined) await makeFolder(path);
  checkPrivate(path, there ?? (await lstat(path)), 'folder');
}

/**
 * Reads at most this many bytes from the start of a private file; undefined if there is no file.
 * @throws STORE_PERMISSIONS
 */
export function readPrivateFile(path: string, atMostBytes: number): Promise<Uint8Array | undefined> {
  return readFirstBytes(path, atMostBytes, constants.O_NOFOLLOW | constants.O_NONBLOCK, (stats) =>
    checkPrivate(path, stats, 'file'),
  );
}

/**
 * Checks and reads through one handle, so that nobody can swap the file in between.
 * @param flags must include O_NONBLOCK, because opening a named pipe would otherwise wait for ever.
 */
export async function readFirstBytes(
  path: string,
  atMostBytes: number,
  flags: number = constants.O_NONBLOCK,
  check: (stats: Stats) => void = () => {},
): Promise<Uint8Array | undefined> {
  await using file = await open(path, constants.O_RDONLY | flags).catch(unlessMissing);
  if (file === undefined) return undefined;
  check(await file.stat());
  const bytes = new Uint8Array(atMostBytes);
  let length = 0;
  while (length < atMostBytes) {
    const { bytesRead } = await file.read(bytes, length, atMostBytes - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return bytes.slice(0, length);
}

/** Creates the file (0600) with all its bytes, durably. Returns false and changes nothing if the file exists. */
export async function createFile(path: string, bytes: Uint8Array): Promise<boolean> {
  const temp = tempName(path);
  try {
    await writeNew(temp, bytes);
    await link(temp, path);
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(temp, { force: true });
  }
  await syncFolder(dirname(path));
  return true;
}

/** Replaces the file (0600) atomically and durably: after a crash, it has the old or the new bytes. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const temp = tempName(path);
  try {
    await writeNew(temp, bytes);
    await rename(temp, path);
  } catch (error) {
    // Report the first error. removeLeftovers removes a leftover temporary file.
    await rm(temp, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Removes the temporary files that a crash left in createFile or replaceFile, for one file or for a whole folder. */
export async function removeLeftovers(folder: string, of?: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    const file = /^(.+)\.[0-9a-f]{16}\.tmp$/.exec(entry)?.[1];
    if (file !== undefined && (of === undefined || file === basename(of)))
      await rm(join(folder, entry), { force: true });
  }
}

export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY);
  await folder.sync();
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(bytes);
  await file.sync();
}

function tempName(path: string): string {
  return `${path}.${randomBytes(8).toString('hex')}.tmp`;
}

/** Runs work and turns errors of the file system into IdentityErrors. */
export async function withStoreErrors<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storeError(path, error);
  }
}

function storeError(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !('syscall' in cause) || !('code' in cause)) return cause;
  const at = 'path' in cause ? String(cause.path) : path;
  switch (cause.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new IdentityError(
        'STORE_FULL',
        `The disk of ${path} is full. Nothing was changed. Free some space and try again.`,
        { cause },
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return refused(
        `This user may not use ${at} (${cause.code}). Check the owner and mode of it and of the folders above it, ` +
          'and that its file system is not mounted read-only.',
        { cause },
      );
    case 'ELOOP':
      return symbolicLink(at, { cause });
    default:
      return new IdentityError('STORE_FAILED', `${at} cannot be used: ${reasonOf(cause)}.`, { cause });
  }
}

/** For `.catch`: returns undefined if the file is missing. */
export function unlessMissing(error: unknown): undefined {
  if (!hasErrno(error, 'ENOENT')) throw error;
}

function hasErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function symbolicLink(path: string, options?: IdentityErrorOptions): IdentityError {
  return refused(
    `${path} is a symbolic link. Replace it with the real file or folder, or name that instead.`,
    options,
  );
}

function refused(message: string, options?: IdentityErrorOptions): IdentityError {
  return new IdentityError('STORE_PERMISSIONS', message, options);
}

/** Quotes the path as one word of a POSIX shell. */
export function quoted(path: string): string {
  return /^[\w/.,:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
