// The rule for every file that a person provides and the program trusts: configuration, credentials, programs to run.
//
// Only this user and root may be able to change the file. So nobody else may be able to change a folder above it, or a
// link on the way to it, because they could put another file in its place. OpenSSH's StrictModes has the same rule for
// `authorized_keys`. The rule for files that the program creates is stricter: secret-store/private-file.ts.

import type { Stats } from 'node:fs';
import { lstat, readlink, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
// The user id is the operating system's, not configuration; absent on Windows, where modes mean nothing either.
import process from 'node:process';
import { IdentityError } from '../errors.ts';
import { quoted, readFirstBytes, unlessMissing, withStoreErrors } from '../secret-store/private-file.ts';

export interface TrustedPathOptions {
  /** Default: `file`. */
  readonly kind?: 'file' | 'folder';
  /**
   * Group members may read the file, others may not: systemd uses the group bits to let a service read a credential.
   */
  readonly isSecret?: boolean;
  /** Also accepts a pipe from the parent process, which can be read once. */
  readonly mayBePipe?: boolean;
}

/**
 * Checks a path and returns whether something exists there. Only this user or root can change that afterwards, so the
 * caller can open the path later.
 * @throws STORE_PERMISSIONS if another user could change the file, or read a secret, or if the kind is wrong;
 *   STORE_FAILED.
 */
export function checkTrusted(path: string, options: TrustedPathOptions = {}): Promise<boolean> {
  const file = resolve(path);
  return withStoreErrors(file, async () => {
    const way = await pathSteps(file).catch(unlessMissing);
    if (way === undefined) return false;
    // In a user namespace, root has another number. The owner of `/` controls the file system in any case.
    checkSteps(file, way, new Set([process.geteuid?.(), 0, way[0]!.stats.uid]), options);
    return true;
  });
}

/**
 * Reads at most this many bytes from the start of a trusted file; undefined if there is no file.
 * @throws as `checkTrusted`
 */
export async function readTrusted(
  path: string,
  atMostBytes: number,
  options: Omit<TrustedPathOptions, 'kind'> = {},
): Promise<Uint8Array | undefined> {
  if (!(await checkTrusted(path, options))) return undefined;
  const file = resolve(path);
  return withStoreErrors(file, async () => {
    // The writer of a pipe may be slow.
    const mayWait = options.mayBePipe && (await stat(file)).isFIFO();
    return readFirstBytes(file, atMostBytes, mayWait ? 0 : undefined);
  });
}

interface Step {
  readonly path: string;
  readonly stats: Stats;
}

/** The limit of Linux. */
const maxLinks = 40;
/** S_ISVTX, for which Node has no name. */
const sticky = 0o1000;

/**
 * A file descriptor of the parent process: `/dev/stdin`, or bash's `<(...)`. It looks like a link (on macOS like a
 * device) whose text leads nowhere; the system opens the file behind it.
 */
const isHandedOver = (path: string) => /^\/(dev|proc\/[^/]+)\/fd\/[0-9]+$/.test(path);

/** Every step by which the system finds the file, from `/` on: folders, links, and last the file itself. */
async function pathSteps(file: string): Promise<[Step, ...Step[]]> {
  const way: [Step, ...Step[]] = [{ path: '/', stats: await lstat('/') }];
  let ahead = file.split('/');
  let at = '/';
  for (let links = 0; ahead.length > 0; ) {
    const name = ahead.shift()!;
    const path = name === '..' ? dirname(at) : join(at, name);
    if (path === at) continue;
    if (isHandedOver(path)) {
      const stats = await stat(path);
      if (stats.isFIFO()) return [...way, { path, stats }];
    }
    const stats = await lstat(path);
    way.push({ path, stats });
    if (!stats.isSymbolicLink()) {
      at = path;
      continue;
    }
    links += 1;
    if (links > maxLinks)
      throw refused(`${file} leads through more than ${maxLinks} links. Name the file itself.`);
    const target = await readlink(path);
    if (target.startsWith('/')) at = '/';
    ahead = [...target.split('/'), ...ahead];
  }
  return way;
}

function checkSteps(
  file: string,
  way: readonly [Step, ...Step[]],
  trusted: ReadonlySet<number | undefined>,
  { kind = 'file', isSecret = false, mayBePipe = false }: TrustedPathOptions,
): void {
  const last = way.at(-1)!;
  const isPipe = isHandedOver(last.path) && last.stats.isFIFO();
  if (isPipe && !mayBePipe) throw refused(`${file} is a pipe, which can be read only once. Name a ${kind}.`);
  if (kind === 'folder' ? !last.stats.isDirectory() : !last.stats.isFile() && !isPipe)
    throw refused(`${file} is not a ${kind}. Name the ${kind} itself.`);
  if (process.geteuid === undefined) return;
  // The owner of a pipe does not matter: with sudo it is another user, and the parent process could name any file
  // anyway.
  const foreign = way.findLast((step) => !(isPipe && step === last) && !trusted.has(step.stats.uid));
  if (foreign) throw ownedByAnother(file, foreign, foreign === last);
  const open = way
    .slice(0, -1)
    .filter(isOpenFolder)
    .map(({ path }) => path);
  const isOpen = !isPipe && (last.stats.mode & (isSecret ? 0o026 : 0o022)) !== 0;
  if (open.length === 0 && !isOpen) return;
  const commands: string[] = [];
  if (open.length > 0) commands.push(`chmod go-w ${[...new Set(open)].map(quoted).join(' ')}`);
  if (isOpen) commands.push(`chmod ${isSecret ? 'g-w,o=' : 'go-w'} ${quoted(last.path)}`);
  throw refused(
    open.length > 0
      ? `Other users may write to ${open.join(' and ')}, so they could replace ${file}. Check its contents, then run: ${commands.join(' && ')}`
      : `Other users may ${isSecret ? 'read or write the secret' : 'write to'} ${last.path}. Check its contents, then run: ${commands.join(' && ')}`,
  );
}

/** In a folder like /tmp, others can add entries but not replace ours. */
function isOpenFolder({ stats }: Step): boolean {
  return stats.isDirectory() && (stats.mode & 0o022) !== 0 && (stats.mode & sticky) === 0;
}

function ownedByAnother(file: string, { path, stats }: Step, isFile: boolean): IdentityError {
  const user = process.geteuid?.();
  const what = `${path} belongs to user ${stats.uid}, and this program runs as user ${user}`;
  return refused(
    isFile
      ? `${what}. Run it as the other user, or check the contents of ${file} and run: chown ${user} ${quoted(path)}`
      : `${what}: the other user could replace ${file}. Put it where only root and user ${user} can write.`,
  );
}

function refused(message: string): IdentityError {
  return new IdentityError('STORE_PERMISSIONS', message);
}
