// Where everything of a daemon is.

import { join, resolve } from 'node:path';

export interface DaemonPaths {
  readonly path: string;
  readonly config: string;
  /** Somebody has named that file, so it has to be there. */
  readonly isConfigNamed: boolean;
  /** Has the path of a configuration elsewhere, with which the daemon was started last. */
  readonly namedConfig: string;
  readonly registry: string;
  readonly secrets: string;
  readonly masterKey: string;
  /** There while a token is asked, and after it refused its PIN. */
  readonly refusedPin: string;
  readonly adminSocket: string;
  /** Copies of the registry while backups are made. */
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
    adminSocket: join(path, 'admin.sock'),
    copies: join(path, 'copies'),
  };
}

/** @param config a file elsewhere. */
export function withConfig<P extends DaemonPaths>(paths: P, config: string): P {
  return { ...paths, config: resolve(config), isConfigNamed: true };
}
