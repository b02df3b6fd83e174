// Where a daemon's registry is, as its configuration says, and what that excludes.

import { IdentityError } from '@palyra/identity';
import type { DaemonConfig } from '../config.ts';

export type SharedDatabaseConfig = DaemonConfig & {
  readonly registry: Extract<DaemonConfig['registry'], { from: 'postgres' }>;
};

export function isShared(config: DaemonConfig): config is SharedDatabaseConfig {
  return config.registry.from === 'postgres';
}

/** @throws MESSAGE_INVALID for settings that a fleet cannot have. */
export function mustSuitFleet(config: DaemonConfig): void {
  if (!isShared(config)) return;
  const refused = (message: string) =>
    new IdentityError('MESSAGE_INVALID', message, { about: 'configuration' });
  if (config.caKey)
    throw refused(
      'caKey: a token is not supported together with registry.from "postgres" yet. The CA keys are in the database, sealed: take caKey out.',
    );
  if (config.backup)
    throw refused(
      'backup: registry.from "postgres" is backed up with the database, as docs/fleet.md says. Take backup out.',
    );
  if (config.masterKey.from === 'passphrase-file')
    throw refused(
      'masterKey: registry.from "postgres" needs the same key on every daemon, and a passphrase gives each home another one. Use a key file or a credential: openssl rand -hex 32',
    );
}

/** @throws MESSAGE_INVALID for a command that works on a registry in a file only. */
export function mustBeInFile(config: DaemonConfig, command: string): void {
  if (!isShared(config)) return;
  throw new IdentityError(
    'MESSAGE_INVALID',
    `${command} does not work on a registry in PostgreSQL yet. docs/fleet.md says how the database is backed up.`,
    { about: 'configuration' },
  );
}
