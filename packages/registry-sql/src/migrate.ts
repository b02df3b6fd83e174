// Brings a database to this program's version. Each migration has a file, which is never edited after its release. A migration
// that only adds what programs of the version before may ignore has a name like "0003-adds-labels". They go on with such a
// database, so that daemons that share it can be replaced one after the other.

import { IdentityError } from '@palyra/identity';
import type { Kysely } from 'kysely';
import { DEFAULT_MIGRATION_TABLE, type Migration, Migrator } from 'kysely/migration';

/**
 * Whether nothing is left to do. It only reads, so a daemon that may not change the tables can start on tables of its version.
 * @throws REGISTRY_VERSION if a newer program wrote this database; errors of the database.
 */
export async function isMigrated(
  db: Kysely<unknown>,
  migrations: Readonly<Record<string, Migration>>,
): Promise<boolean> {
  const applied = await appliedMigrations(db);
  mustBeKnown(applied, migrations);
  return Object.keys(migrations).every((name) => applied.includes(name));
}

/**
 * @param migrations by name, in the order of their names.
 * @throws REGISTRY_VERSION if a newer program wrote this database; errors of the database.
 */
export async function migrate(
  db: Kysely<unknown>,
  migrations: Readonly<Record<string, Migration>>,
): Promise<void> {
  // Kysely refuses migrations that it does not know.
  if (await isMigrated(db, migrations)) return;
  const migrator = new Migrator({
    db: db as Kysely<unknown>,
    provider: { getMigrations: async () => migrations },
  });
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}

/** For readers. @throws REGISTRY_VERSION if the database has another version; errors of the database. */
export async function mustBeMigrated(
  db: Kysely<unknown>,
  migrations: Readonly<Record<string, Migration>>,
): Promise<void> {
  const applied = await appliedMigrations(db);
  mustBeKnown(applied, migrations);
  const missing = Object.keys(migrations).find((name) => !applied.includes(name));
  if (missing === undefined) return;
  throw new IdentityError(
    'REGISTRY_VERSION',
    `The registry was written by an older version of Palyra (it lacks the change "${missing}"). To update the registry, start the daemon of this version once.`,
  );
}

const onlyAdds = /^\d{4}-adds-/;

function mustBeKnown(applied: readonly string[], migrations: Readonly<Record<string, Migration>>): void {
  const unknown = applied.find((name) => !Object.hasOwn(migrations, name) && !onlyAdds.test(name));
  if (unknown === undefined) return;
  throw new IdentityError(
    'REGISTRY_VERSION',
    `The registry was written by a newer version of Palyra (its change "${unknown}" is unknown here). ` +
      'Install that version again, or restore the backup made before the upgrade.',
  );
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
