// The device's certificate as files for other programs: nginx, PostgreSQL, curl. The layout of a folder F:
//
//   F/key.pem                    a link to .palyra/current/key.pem; likewise cert.pem, chain.pem and bundle.pem
//   F/.palyra/current            a link to the folder with the current files
//   F/.palyra/<16 hex digits>/   the files of one certificate: the current one and the previous one
//
// All files change in one step, when `current` is replaced, so a key and a certificate always match, even if this
// process is killed. The previous files stay until the next change, for programs that are reading them.
//
// Changes of an administrator are kept: owner, group and mode of each file, and a link in place of a file, whose target
// then gets the contents.

import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { certificatesToPem } from '@palyra/identity/certificate';
import { IdentityError, type PairedEnrollment, TlsKey } from '@palyra/identity/device';
import { checkTrusted } from '@palyra/identity/files';
import { codeOf, reasonOf } from '@palyra/identity/values';

/** In the order of their creation, so that a program that watches the certificate finds the key. */
const defaultModes = { 'bundle.pem': 0o644, 'key.pem': 0o600, 'chain.pem': 0o644, 'cert.pem': 0o644 };
type FileName = keyof typeof defaultModes;
const fileNames = Object.keys(defaultModes) as FileName[];
type Texts = Readonly<Record<FileName, string>>;

/**
 * Writes `key.pem`, `cert.pem` (the leaf), `chain.pem` (leaf, issuing CA) and `bundle.pem` (roots) into the folder. Does
 * not touch files that are already correct.
 * @returns the folder with the current files, which is new after each change; `isNew`: whether they changed.
 * @throws STORE_PERMISSIONS if others could change the folder, or if this user cannot keep the owner and group of a
 *   file; STORE_FAILED for a file that cannot be replaced; errors of the file system.
 */
export async function writeCredentialFiles(
  folder: string,
  enrollment: PairedEnrollment,
): Promise<{ readonly folder: string; readonly isNew: boolean }> {
  const texts = textsOf(enrollment);
  const store = join(folder, storeName);
  const before = await readlink(join(store, 'current')).then((name) => join(store, name), unlessMissing);
  if (before && (await areThere(folder, texts))) return { folder: before, isNew: false };
  await makeFolder(folder, 0o700);
  // Somebody who could create files here would receive the key, because it takes the owner of the file it replaces.
  await checkTrusted(folder, { kind: 'folder' });
  // Every user who may enter the parent folder may enter these.
  await makeFolder(store, 0o755);
  await checkTrusted(store, { kind: 'folder' });
  const made = join(store, randomBytes(8).toString('hex'));
  try {
    await makeFolder(made, 0o755);
    for (const name of fileNames) {
      const look = await about(join(folder, name), () => lookOf(folder, name));
      await writeAs(join(made, name), texts[name], look);
    }
    await syncFolder(made);
    await replaceLink(join(store, 'current'), basename(made));
  } catch (error) {
    await rm(made, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(store);
  await removeOthers(store, ['current', basename(made), ...(before ? [basename(before)] : [])]);
  for (const name of fileNames) await about(join(folder, name), () => show(folder, name, texts[name]));
  await syncFolder(folder);
  return { folder: made, isNew: true };
}

const storeName = '.palyra';
const linkTo = (name: FileName) => join(storeName, 'current', name);

function textsOf({ certificateChain, trustBundle, tlsKey }: PairedEnrollment): Texts {
  return {
    'bundle.pem': certificatesToPem(trustBundle),
    'key.pem': TlsKey.fromPkcs8(tlsKey).toPem(),
    'chain.pem': certificatesToPem(certificateChain),
    'cert.pem': certificatesToPem(certificateChain.slice(0, 1)),
  };
}

/** Whether every file has its contents and will follow the next change. */
async function areThere(folder: string, texts: Texts): Promise<boolean> {
  for (const name of fileNames) {
    const path = join(folder, name);
    const stats = await lstat(path).catch(unlessMissing);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (!stats?.isSymbolicLink() || text !== texts[name]) return false;
  }
  return true;
}

interface Look {
  readonly mode: number;
  /** Absent: the user and group of this process. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** The present owner and mode of the file, ignored if another user replaced it with a link. */
async function lookOf(folder: string, name: FileName): Promise<Look> {
  const path = join(folder, name);
  const link = await lstat(path).catch(unlessMissing);
  const stats = link && (!link.isSymbolicLink() || isOurs(link)) && (await stat(path).catch(unlessMissing));
  if (!stats) return { mode: defaultModes[name] };
  return { mode: stats.mode & 0o777, owner: { uid: stats.uid, gid: stats.gid } };
}

/** Creates the file with this owner and mode, whatever the umask is. It is private until it has its owner. */
async function writeAs(path: string, text: string, { mode, owner }: Look): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(text);
  const made = await file.stat();
  if (owner && (made.uid !== owner.uid || made.gid !== owner.gid))
    await file.chown(owner.uid, owner.gid).catch((cause) => {
      if (cause.code !== 'EPERM') throw cause;
      throw new IdentityError(
        'STORE_PERMISSIONS',
        `${basename(path)} belongs to user ${owner.uid} and group ${owner.gid}, and this user cannot create files for them. Run the agent as a member of that group or as root, or give the file back to the agent's user.`,
        { cause },
      );
    });
  await file.chmod(mode);
  await file.sync();
}

/** Makes the name in the folder a link to the current file. */
async function show(folder: string, name: FileName, text: string): Promise<void> {
  const path = join(folder, name);
  const stats = await lstat(path).catch(unlessMissing);
  const target = stats?.isSymbolicLink() ? await readlink(path) : undefined;
  if (target === linkTo(name)) return;
  // A link of another user could make this user write anywhere.
  if (!stats || target === undefined || !isOurs(stats)) return replaceLink(path, linkTo(name));
  const real = await realpath(path).catch(() => resolve(folder, target));
  const temporary = `${real}.${randomBytes(8).toString('hex')}.new`;
  try {
    await writeAs(temporary, text, await lookOf(folder, name));
    await rename(temporary, real);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(real));
}

/** Whether this user or root owns it. */
const isOurs = ({ uid }: Stats): boolean => uid === 0 || uid === process.geteuid?.();

async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  try {
    await symlink(target, temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** The system's errors for a link to a place that cannot have a file. */
const leadsAstray: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP']);

/** Runs work. @throws STORE_FAILED with the file, and how to remove the obstacle. */
async function about<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const code = codeOf(cause);
    if (cause instanceof IdentityError) throw cause;
    const target = await readlink(path).catch(() => undefined);
    const why =
      target !== undefined && leadsAstray.has(code)
        ? `it is a link to ${target}, and ${reasonOf(cause)}. Point it to a place for a file, or remove it.`
        : code === 'EISDIR'
          ? 'a folder is there. Containers create one if a file that they mount is missing. Remove it.'
          : code === 'EBUSY'
            ? 'a file is mounted there. Mount the folder instead.'
            : `${reasonOf(cause)}.`;
    throw new IdentityError('STORE_FAILED', `${path} cannot be replaced: ${why}`, { cause });
  }
}

/** Creates the folder and missing parents, whatever the umask is. */
async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' && dirname(path) !== path) {
      await makeFolder(dirname(path), mode);
      return makeFolder(path, mode);
    }
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    throw error;
  }
  await chmod(path, mode);
}

async function removeOthers(store: string, kept: readonly string[]): Promise<void> {
  for (const entry of await readdir(store))
    if (!kept.includes(entry)) await rm(join(store, entry), { recursive: true, force: true });
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
