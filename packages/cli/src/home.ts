// The folder that holds all data of one user's palyra, for both roles: `daemon/` and `device/`.

import { join, resolve } from 'node:path';
import { CliError } from './failure.ts';
import type { Invocation } from './invocation.ts';

export interface Home {
  /** Absolute. */
  readonly path: string;
  readonly adminSocket: string;
  readonly deviceSecrets: string;
  readonly deviceMasterKey: string;
  /** Exists while the device's master key is in a keychain. */
  readonly deviceKeyPlace: string;
  /** Locks of the running agents. */
  readonly agents: string;
  /** The flag with which a follow-up command finds this home: `--home X`, or empty for the default. */
  readonly flag: string;
}

/** `--home DIR`, else PALYRA_HOME, else `~/.palyra`. @throws USAGE if none of them exists */
export function resolveHome(option: string | undefined, invocation: Invocation): Home {
  if (option === '') throw new CliError('USAGE', '--home is empty. Name the folder: --home DIR');
  const given = option || invocation.palyraHome;
  const path = given ? resolve(given) : usualHome(userHomeOf(invocation));
  const isUsual = invocation.userHome !== undefined && path === usualHome(invocation.userHome);
  // `npx` works only inside the checkout, so a relative path stays valid there.
  const shown = given && invocation.program.startsWith('npx ') ? given : path;
  return {
    path,
    adminSocket: join(path, 'daemon', 'admin.sock'),
    deviceSecrets: join(path, 'device', 'secrets'),
    deviceMasterKey: join(path, 'device', 'master.key'),
    deviceKeyPlace: join(path, 'device', 'master-key.json'),
    agents: join(path, 'device', 'agents'),
    flag: isUsual ? '' : `--home ${quoted(shown)}`,
  };
}

const usualHome = (userHome: string): string => join(userHome, '.palyra');

/** @throws USAGE */
export function userHomeOf({ userHome }: Pick<Invocation, 'userHome'>): string {
  if (userHome !== undefined) return userHome;
  throw new CliError(
    'USAGE',
    "This user has no home folder: HOME is not set, and the system's user database has none. Choose the folder for all data: --home DIR",
  );
}

/** One word of a POSIX shell. */
export function quoted(path: string): string {
  return /^[\w./~+@%,:=-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
