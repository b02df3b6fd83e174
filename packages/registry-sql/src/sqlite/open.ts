// Opens the registry in a SQLite file that only this user may read.

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
import { ChangeLog } from './log.ts';
import { mustBeWritten, openShared, withReadOnly } from './read-only.ts';
import { SqliteReader } from './reader.ts';
import { type RegistryDisk, SqliteRegistry } from './registry.ts';
import { storeError } from './store-error.ts';

export const migrations = {
  // In SQLite, `integer primary key` is the row's own number and needs no index.
  '0001-registry': registryTables({ bytes: 'blob', sequence: 'integer', text: 'text' }),
  '0002-sqlite-plans': sqlitePlans,
};

export interface SqliteRegistryOptions {
  /** The file, in an existing folder that should be 0700; or ':memory:'. */
  readonly path: string;
  /** Gets the errors of listeners of `subscribe` and `enforce`. Default: they are thrown as uncaught exceptions. */
  readonly onError?: (error: unknown, where: string) => void;
  /** Require an existing registry with data, and otherwise change nothing. Default: create a missing one. */
  readonly mustExist?: boolean;
}

/**
 * Opens the registry for writing, and brings it to this version. Readers use `lookAtSqliteRegistry`.
 * @throws REGISTRY_LOST if it must exist and does not; STORE_PERMISSIONS if another user owns it or others can read it;
 *   REGISTRY_VERSION if a newer program wrote it; STORE_FULL, STORE_FAILED.
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
    const disk = path === ':memory:' ? undefined : await openDisk(path);
    return new SqliteRegistry(connection, statements, { snapshot, disk, onError: options.onError });
  } catch (error) {
    connection.close();
    throw storeError(error, path);
  }
}

async function openDisk(path: string): Promise<RegistryDisk> {
  const log = await ChangeLog.open(path);
  try {
    return { log, before: SqliteConnection.besideWriting(path) };
  } catch (error) {
    await log.close();
    throw error;
  }
}

/**
 * Reads a registry without writing: it creates and migrates nothing, and leaves no file beside it. The daemon may run;
 * `look` sees one snapshot.
 * @param look runs again if somebody opened the registry for writing meanwhile, so it must only read.
 * @throws REGISTRY_LOST for a missing or empty registry; REGISTRY_VERSION for another version; STORE_PERMISSIONS,
 *   STORE_FAILED, and errors of `look`.
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

/** Creates the file first, as private, because SQLite gives `-wal` and `-shm` its mode. */
async function claimFile(path: string): Promise<void> {
  try {
    // Opens only a new file: closing a file that SQLite has open in this process would release its locks.
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
    // Only the file itself must exist. A file whose permissions cannot be read does not count as private.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw storeError(error, file);
  }
}
