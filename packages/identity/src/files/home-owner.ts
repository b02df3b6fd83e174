// The owner of a home. Another user cannot use the files in it, and files that another user creates there would keep
// the daemon from starting.

import { lstat, readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
// The user is the operating system's, not configuration; absent on Windows.
import process from 'node:process';
import { IdentityError } from '../errors.ts';
import { codeOf } from '../reason.ts';
import { quoted } from '../secret-store/private-file.ts';

/**
 * @param folder a home or a folder in it; a missing folder passes the check.
 * @throws STORE_PERMISSIONS if another user owns it; the message says how to act as that user.
 */
export async function mustBeOwnFolder(folder: string): Promise<void> {
  const user = process.geteuid?.();
  if (user === undefined) return;
  // A folder that this user cannot enter belongs to its owner, with everything in it.
  for (let path = folder; ; path = dirname(path)) {
    try {
      const { uid } = await lstat(path);
      if (uid === user) return;
      throw ownedByAnother(
        folder,
        await nameOf(uid),
        await nameOf(user),
        uid === 0 && (await isEmpty(folder)),
      );
    } catch (error) {
      if (error instanceof IdentityError) throw error;
      const code = codeOf(error);
      if (code !== 'EACCES' || path === dirname(path)) return;
    }
  }
}

/** The user in the form that `sudo -u` takes. */
async function nameOf(uid: number): Promise<string> {
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const user = users.split('\n').find((line) => line.split(':')[2] === String(uid));
  return user?.split(':')[0] || `#${uid}`;
}

async function isEmpty(folder: string): Promise<boolean> {
  return (await readdir(folder).catch(() => ['unknown'])).length === 0;
}

function ownedByAnother(folder: string, owner: string, user: string, canBeGiven: boolean): IdentityError {
  const other = canBeGiven
    ? ` It is empty; to give it to this user, run: sudo chown ${user.replace('#', '')} ${quoted(folder)}`
    : '';
  return new IdentityError(
    'STORE_PERMISSIONS',
    `${folder} belongs to the user ${owner}, and this is ${user}.${other}`,
    { about: 'home_owner', user: owner, path: folder },
  );
}
