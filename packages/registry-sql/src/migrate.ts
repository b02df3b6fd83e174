// Brings a database to this program's version: one file per migration, none ever edited once released.

import { IdentityError } from '@palyra/identity';
import type { Kysely } from 'kysely';
import { DEFAULT_MIGRATION_TABLE, type Migration, Migrator } from 'kysely/migration';

/**
 * @param migrations by name, in the order of their names.
 * @throws REGISTRY_VERSION when a newer program wrote this database; else what the database throws.
 */
export async function migrate(
  db: Kysely<unknown>,
  migrations: Readonly<Record<string, Migration>>,
): Promise<void> {
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
