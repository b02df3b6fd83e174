// Where a daemon's registry is, as its configuration says.

import { IdentityError } from '@palyra/identity';
import type { DaemonConfig } from '../config.ts';

export type SharedDatabaseConfig = DaemonConfig & {
  readonly registry: Extract<DaemonConfig['registry'], { from: 'postgres' }>;
};

export function isShared(config: DaemonConfig): config is SharedDatabaseConfig {
  return config.registry.from === 'postgres';
}

/** @throws MESSAGE_INVALID for a command that works on a registry in a file only. */
export function mustBeInFile(config: DaemonConfig, command: string): void {
  if (!isShared(config)) return;
  throw new IdentityError(
    'MESSAGE_INVALID',
    `${command} works on a registry in a file only, and the configuration says that it is in PostgreSQL. docs/fleet.md says what to do instead.`,
    { about: 'configuration' },
  );
}
