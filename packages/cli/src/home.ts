// The folder that one user's palyra keeps everything in. It serves both roles: `daemon/` and `device/`.

import { join, resolve } from 'node:path';
import type { Invocation } from './invocation.ts';

export interface Home {
  /** Absolute. */
  readonly path: string;
  readonly adminSocket: string;
  readonly deviceSecrets: string;
  readonly deviceMasterKey: string;
  /** Locks of the agents that run. */
  readonly agents: string;
  /** What a follow-up command needs to find this home: `--home X`, or nothing for the default. */
  readonly flag: string;
}

/** `--home DIR`, else PALYRA_HOME, else `~/.palyra`. */
export function resolveHome(option: string | undefined, invocation: Invocation): Home {
  const usual = join(invocation.userHome, '.palyra');
  const given = option || invocation.palyraHome;
  const path = given ? resolve(given) : usual;
  // `npx` finds the program from the checkout only, so there a relative path is found again as well.
  const shown = given && invocation.program.startsWith('npx ') ? given : path;
  return {
    path,
    adminSocket: join(path, 'daemon', 'admin.sock'),
    deviceSecrets: join(path, 'device', 'secrets'),
    deviceMasterKey: join(path, 'device', 'master.key'),
    agents: join(path, 'device', 'agents'),
    flag: path === usual ? '' : `--home ${quoted(shown)}`,
  };
}

/** One word of a POSIX shell. */
export function quoted(path: string): string {
  return /^[\w./~+@%,:=-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
