// Opens the registry in a SQLite file that only this user can read.

import { open, stat } from 'node:fs/promises';
import { IdentityError, type Registry } from '@palyra/identity';
import { Kysely, SqliteDialect } from 'kysely';
import { migrate } from '../migrate.ts';
import { registryTables } from '../migrations/0001-registry.ts';
import { sqlitePlans } from '../migrations/0002-sqlite-plans.ts';
import { statementsFor } from '../statements.ts';
import type { Tables } from '../tables.ts';
import { SqliteConnection } from './connection.ts';
import { SqliteRegistry } from './registry.ts';
import { storeError } from './store-error.ts';

const migrations = {
  // In SQLite `integer primary key` is the row's own number and costs no index.
  '0001-registry': registryTables({ bytes: 'blob', sequence: 'integer' }),
  '0002-sqlite-plans': sqlitePlans,
};

export interface SqliteRegistryOptions {
  /** The file, made when it is missing; its folder must exist and should be 0700. Or ':memory:'. */
  readonly path: string;
  /** Told what a listener of `subscribe` or `enforce` threw. Default: it is thrown where nobody catches it. */
  readonly onError?: (error: unknown, where: string) => void;
}

/**
 * Opens or creates the registry and brings it to this version.
 * @throws STORE_PERMISSIONS when others can read the file, REGISTRY_VERSION when a newer program wrote it, STORE_FULL,
 *   STORE_FAILED.
 */
export async function openSqliteRegistry(options: SqliteRegistryOptions): Promise<Registry> {
  const { path } = options;
  if (path !== ':memory:') await claimFile(path);
  const connection = new SqliteConnection(path);
  try {
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection.kyselyDatabase() }) });
    await migrate(db as Kysely<unknown>, migrations);
    return new SqliteRegistry(connection, statementsFor(db), options.onError);
  } catch (error) {
    connection.close();
    throw storeError(error, path);
  }
}

/** SQLite gives `-wal` and `-shm` the mode of the file itself, so the file is made first, private. */
async function claimFile(path: string): Promise<void> {
  try {
    // Only a new file is opened here: closing a file that SQLite has open in this process would drop its locks.
    await (await open(path, 'ax', 0o600)).close();
    return;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') {
      throw new IdentityError(
        'STORE_FAILED',
        `The registry ${path} cannot be created. Check that its folder exists and that this user can write there.`,
        { cause: error },
      );
    }
  }
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    const mode = await modeOf(file);
    if (mode !== undefined && mode & 0o077) {
      throw new IdentityError(
        'STORE_PERMISSIONS',
        `Others can read the registry file ${file}. Make it private with: chmod 600 ${file}`,
      );
    }
  }
}

async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mode;
  } catch (error) {
    // Only the file itself must be there. What cannot be looked at was not found private.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw storeError(error, file);
  }
}
