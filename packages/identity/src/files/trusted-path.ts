// The rule for every file that a person put there and the program believes: configuration, credentials, programs to run.
//
// Nobody but this user and root may be able to change the file. So neither may anybody else change a folder above it, or
// a link on the way to it: they could put another file in its place. OpenSSH's StrictModes asks the same of
// `authorized_keys`. Files that the program makes for itself are stricter: secret-store/private-file.ts.

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
  /** Its group may read it, others may not: systemd lets a service's user read a credential by its group bits. */
  readonly isSecret?: boolean;
  /** A pipe that whoever started this process handed to it will do: it can be read once. */
  readonly mayBePipe?: boolean;
}

/**
 * Whether there is something at the path. What was found to be trusted stays so until this user or root changes it, so it
 * can be opened by its path afterwards.
 * @throws STORE_PERMISSIONS when another user could change what is there, or read it though it is a secret, and when it
 * is of another kind; STORE_FAILED.
 */
export function checkTrusted(path: string, options: TrustedPathOptions = {}): Promise<boolean> {
  const file = resolve(path);
  return withStoreErrors(file, async () => {
    const way = await wayTo(file).catch(unlessMissing);
    if (way === undefined) return false;
    // In a user namespace root has another number; whoever owns `/` rules the file system in any case.
    checkWay(file, way, new Set([process.geteuid?.(), 0, way[0]!.stats.uid]), options);
    return true;
  });
}

/**
 * The first bytes of a trusted file, at most so many; undefined when there is none.
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
    // Whoever writes into a pipe may be late.
    const mayWait = options.mayBePipe && (await stat(file)).isFIFO();
    return readFirstBytes(file, atMostBytes, mayWait ? 0 : undefined);
  });
}

interface Step {
  readonly path: string;
  readonly stats: Stats;
}

/** As Linux has it. */
const maxLinks = 40;
/** S_ISVTX, which Node does not name. */
const sticky = 0o1000;

/**
 * What this process was started with: `/dev/stdin`, or bash's `<(...)`. It looks like a link (on macOS like a device), and
 * its text leads nowhere; the system opens what is behind it.
 */
const isHandedOver = (path: string) => /^\/(dev|proc\/[^/]+)\/fd\/[0-9]+$/.test(path);

/** All that the system looks at to find the file, from `/` on: folders, links, and the file itself as the last. */
async function wayTo(file: string): Promise<[Step, ...Step[]]> {
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

function checkWay(
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
  // Whose a pipe is says nothing: with sudo it is another user's. Whoever handed it over could name any file as well.
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
      ? `Other users may write to ${open.join(' and ')}, so they could change what ${file} is. Look at what it holds, then run: ${commands.join(' && ')}`
      : `Other users may ${isSecret ? 'read or write the secret' : 'write to'} ${last.path}. Look at what it holds, then run: ${commands.join(' && ')}`,
  );
}

/** In a folder like /tmp others may add entries, but not replace one of ours. */
function isOpenFolder({ stats }: Step): boolean {
  return stats.isDirectory() && (stats.mode & 0o022) !== 0 && (stats.mode & sticky) === 0;
}

function ownedByAnother(file: string, { path, stats }: Step, isFile: boolean): IdentityError {
  const user = process.geteuid?.();
  const what = `${path} belongs to user ${stats.uid}, and this program runs as user ${user}`;
  return refused(
    isFile
      ? `${what}. Run it as the other user, or look at what ${file} holds and run: chown ${user} ${quoted(path)}`
      : `${what}: the other user could change what ${file} is. Put it where nobody but root and user ${user} may write.`,
  );
}

function refused(message: string): IdentityError {
  return new IdentityError('STORE_PERMISSIONS', message);
}
