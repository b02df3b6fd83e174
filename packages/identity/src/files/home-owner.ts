// Whose a home is: what one user's daemon or device keeps is of no use to another user, and files that another user makes
// there keep the daemon from starting.

import { lstat, readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
// The user is the operating system's, not configuration; absent on Windows.
import process from 'node:process';
import { IdentityError } from '../errors.ts';
import { codeOf } from '../reason.ts';
import { quoted } from '../secret-store/private-file.ts';

/**
 * @param folder a home or a folder in it; one that is not there is nobody's.
 * @throws STORE_PERMISSIONS when it is another user's, with how to act as that user.
 */
export async function mustBeOwnFolder(folder: string): Promise<void> {
  const user = process.geteuid?.();
  if (user === undefined) return;
  // What lies in a folder that this user may not enter is its owner's.
  for (let path = folder; ; path = dirname(path)) {
    try {
      const { uid } = await lstat(path);
      if (uid === user) return;
      throw anothers(folder, await nameOf(uid), await nameOf(user), uid === 0 && (await isEmpty(folder)));
    } catch (error) {
      if (error instanceof IdentityError) throw error;
      const code = codeOf(error);
      if (code !== 'EACCES' || path === dirname(path)) return;
    }
  }
}

/** As `sudo -u` takes it. */
async function nameOf(uid: number): Promise<string> {
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const user = users.split('\n').find((line) => line.split(':')[2] === String(uid));
  return user?.split(':')[0] || `#${uid}`;
}

async function isEmpty(folder: string): Promise<boolean> {
  return (await readdir(folder).catch(() => ['unknown'])).length === 0;
}

function anothers(folder: string, owner: string, user: string, canBeGiven: boolean): IdentityError {
  const other = canBeGiven
    ? ` It is empty; to give it to this user, run: sudo chown ${user.replace('#', '')} ${quoted(folder)}`
    : '';
  return new IdentityError(
    'STORE_PERMISSIONS',
    `${folder} belongs to the user ${owner}, and this is ${user}.${other}`,
    { about: 'home_owner', user: owner, path: folder },
  );
}
