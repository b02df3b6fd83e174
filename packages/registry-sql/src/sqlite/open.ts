// Opens the registry in a SQLite file that only this user can read.

import type { Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { IdentityError } from '@palyra/identity';
import { checkPrivate } from '@palyra/identity/files';
import type { Registry, RegistryReader } from '@palyra/identity/registry';
import { Kysely, SqliteDialect } from 'kysely';
import { migrate, mustBeMigrated } from '../migrate.ts';
import { registryTables } from '../migrations/0001-registry.ts';
import { sqlitePlans } from '../migrations/0002-sqlite-plans.ts';
import { statementsFor } from '../statements.ts';
import type { Tables } from '../tables.ts';
import { SqliteConnection } from './connection.ts';
import { mustBeWritten, openShared, withReadOnly } from './read-only.ts';
import { SqliteReader } from './reader.ts';
import { SqliteRegistry } from './registry.ts';
import { storeError } from './store-error.ts';

const migrations = {
  // In SQLite `integer primary key` is the row's own number and costs no index.
  '0001-registry': registryTables({ bytes: 'blob', sequence: 'integer' }),
  '0002-sqlite-plans': sqlitePlans,
};

export interface SqliteRegistryOptions {
  /** The file; its folder must exist and should be 0700. Or ':memory:'. */
  readonly path: string;
  /** Told what a listener of `subscribe` or `enforce` threw. Default: it is thrown where nobody catches it. */
  readonly onError?: (error: unknown, where: string) => void;
  /** There must be one that was written to; nothing is made or changed otherwise. Default: one is made. */
  readonly mustExist?: boolean;
}

/**
 * Opens the registry for writing, and brings it to this version. Who only looks: `lookAtSqliteRegistry`.
 * @throws REGISTRY_LOST when it must exist and does not; STORE_PERMISSIONS when it is another user's or others can read it, REGISTRY_VERSION
 *   when a newer program wrote it, STORE_FULL, STORE_FAILED.
 */
export async function openSqliteRegistry(options: SqliteRegistryOptions): Promise<Registry> {
  const { path, mustExist = false } = options;
  if (mustExist) await checkWritten(path);
  if (path !== ':memory:') await claimFile(path);
  const connection = SqliteConnection.forWriting(path);
  try {
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection.kyselyDatabase() }) });
    await migrate(db as Kysely<unknown>, migrations);
    const statements = statementsFor(db);
    const snapshot = async () =>
      path === ':memory:'
        ? new SqliteReader(
            SqliteConnection.forReading(path, () => connection.copy()),
            statements,
          )
        : new SqliteReader(openShared(path), statements);
    return new SqliteRegistry(connection, statements, { snapshot, onError: options.onError });
  } catch (error) {
    connection.close();
    throw storeError(error, path);
  }
}

/**
 * Looks at a registry without writing anything: it is not created, not migrated, and no file appears beside it. Its daemon
 * may run; what is seen is one moment.
 * @param look begins anew when the registry was opened for writing meanwhile, so it must do nothing but read.
 * @throws REGISTRY_LOST when there is none or an empty one; REGISTRY_VERSION for that of any other version;
 *   STORE_PERMISSIONS, STORE_FAILED, and what `look` throws.
 */
export async function lookAtSqliteRegistry<T>(
  { path }: Pick<SqliteRegistryOptions, 'path'>,
  look: (registry: RegistryReader) => Promise<T>,
): Promise<T> {
  await checkFiles(path);
  return withReadOnly(path, async (connection) => {
    mustBeWritten(connection, path);
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: connection.kyselyDatabase() }) });
    await mustBeMigrated(db as Kysely<unknown>, migrations);
    return look(new SqliteReader(connection, statementsFor(db)));
  });
}

/** @throws REGISTRY_LOST */
async function checkWritten(path: string): Promise<void> {
  await withReadOnly(path, async (connection) => mustBeWritten(connection, path));
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
  await checkFiles(path);
}

async function checkFiles(path: string): Promise<void> {
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    const stats = await statOf(file);
    if (stats) checkPrivate(file, stats, 'file');
  }
}

async function statOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    // Only the file itself must be there. What cannot be looked at was not found private.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw storeError(error, file);
  }
}
