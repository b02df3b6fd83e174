// The paths of a daemon's files.

import { join, resolve } from 'node:path';

export interface DaemonPaths {
  readonly path: string;
  readonly config: string;
  /** Whether somebody has named the configuration, so that it must exist. */
  readonly isConfigNamed: boolean;
  /** A file with the path of a configuration outside the home, used at the last start. */
  readonly namedConfig: string;
  readonly registry: string;
  readonly secrets: string;
  readonly masterKey: string;
  /** The marker during a login to a token, which stays after a refused PIN. */
  readonly refusedPin: string;
  /** What a daemon remembers of the database that it shares with others. */
  readonly fleet: string;
  readonly adminSocket: string;
  /** Copies of the registry during backups. */
  readonly copies: string;
}

export function daemonPaths(home: string, folder = 'daemon'): DaemonPaths {
  const path = join(home, folder);
  return {
    path,
    config: join(path, 'config.json'),
    isConfigNamed: false,
    namedConfig: join(path, 'config-path'),
    registry: join(path, 'registry.sqlite'),
    secrets: join(path, 'secrets'),
    masterKey: join(path, 'master.key'),
    refusedPin: join(path, 'token-pin-refused'),
    fleet: join(path, 'fleet.json'),
    adminSocket: join(path, 'admin.sock'),
    copies: join(path, 'copies'),
  };
}

/** @param config a file outside the home. */
export function withConfig<P extends DaemonPaths>(paths: P, config: string): P {
  return { ...paths, config: resolve(config), isConfigNamed: true };
}
