// Brings a database to this program's version: one file per migration, none ever edited once released.

import { IdentityError } from '@palyra/identity';
import type { ColumnDataType, Kysely } from 'kysely';
import { DEFAULT_MIGRATION_TABLE, Migrator } from 'kysely/migration';
import { registryTables } from './migrations/0001-registry.ts';

/** What databases call differently. */
export interface ColumnTypes {
  readonly bytes: ColumnDataType;
  /** A whole number that is also the primary key. */
  readonly sequence: ColumnDataType;
}

// In SQLite `integer primary key` is the row's own number and costs no index.
export const sqliteTypes: ColumnTypes = { bytes: 'blob', sequence: 'integer' };

/** @throws REGISTRY_VERSION when a newer program wrote this database; else what the database throws. */
export async function migrate(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  const migrations = { '0001-registry': registryTables(types) };
  const unknown = (await appliedMigrations(db)).find((name) => !Object.hasOwn(migrations, name));
  if (unknown !== undefined) {
    throw new IdentityError(
      'REGISTRY_VERSION',
      `The registry was written by a newer version of Palyra (its change "${unknown}" is not known here). ` +
        'Install that version again, or restore the backup made before the upgrade.',
    );
  }
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}

async function appliedMigrations(db: Kysely<unknown>): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some((table) => table.name === DEFAULT_MIGRATION_TABLE)) return [];
  const rows = await (db as Kysely<{ [DEFAULT_MIGRATION_TABLE]: { name: string } }>)
    .selectFrom(DEFAULT_MIGRATION_TABLE)
    .select('name')
    .execute();
  return rows.map((row) => row.name);
}
