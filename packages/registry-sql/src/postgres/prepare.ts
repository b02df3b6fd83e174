// Brings the tables of a PostgreSQL database to this version. Daemons that start at the same time do it once: the migrations run in
// one transaction, under a lock of the row in Kysely's lock table. Kysely itself would take an advisory lock, which not every
// database has that speaks PostgreSQL's protocol. Daemons of the version before go on with their calls meanwhile, so the
// migration never keeps them waiting for what it waits for itself.

import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, IdentityError } from '@palyra/identity';
import { Kysely, PostgresAdapter, PostgresDialect, sql, type Transaction } from 'kysely';
import { DEFAULT_MIGRATION_LOCK_TABLE, MIGRATION_LOCK_ID, type Migration } from 'kysely/migration';
import { isMigrated, migrate, mustBeMigrated } from '../migrate.ts';
import { registryTables } from '../migrations/0001-registry.ts';
import { fleetTables } from '../migrations/0002-fleet.ts';
import { peerTables } from '../migrations/0003-peers.ts';
import type { PostgresConnection, SessionOptions } from './connection.ts';
import { lockNotAvailable, sqlState, storeError } from './store-error.ts';
import { textInBytes } from './text.ts';

export const migrations = {
  '0001-registry': registryTables({ bytes: 'bytea', sequence: 'bigint', text: textInBytes }),
  '0002-fleet': fleetTables,
  '0003-peers': peerTables,
};

/** Time to wait for another daemon's migration, or for a moment in which nobody uses the tables for long, ms. */
const migrationMs = 5 * 60_000;
/**
 * Longest wait for one table that is in use, ms. Everybody else's statements wait behind it. It is less than PostgreSQL's
 * deadlock_timeout of a second, which would end somebody else's statement.
 */
const tableLockMs = 100;
const pauseMs = 500;

/** For the connection of `prepareDatabase`. */
export const whileMigrating: SessionOptions = { statementMs: migrationMs, lockMs: migrationMs };

/** Brings the tables of a database to this version. @throws REGISTRY_VERSION, STORE_PERMISSIONS, and errors of the database. */
export async function prepareDatabase(connection: PostgresConnection): Promise<void> {
  try {
    await migrateOnce(kyselyOn(connection));
  } catch (error) {
    const told = storeError(error, connection.name);
    if (hasCode(told, 'STORE_PERMISSIONS') && sqlState(told.cause) === '42501')
      throw mayNotPrepare(connection, told);
    throw told;
  }
}

/** @throws REGISTRY_VERSION unless the tables have this version, and errors of the database. */
export async function mustBePrepared(connection: PostgresConnection): Promise<void> {
  try {
    await mustBeMigrated(kyselyOn(connection), migrations);
  } catch (error) {
    throw storeError(error, connection.name);
  }
}

interface LockTables {
  readonly [DEFAULT_MIGRATION_LOCK_TABLE]: { readonly id: string };
}

async function migrateOnce(db: Kysely<LockTables>): Promise<void> {
  if (await isMigrated(db as Kysely<unknown>, migrations)) return;
  await makeLock(db);
  const triedUntil = performance.now() + migrationMs;
  for (;;)
    try {
      return await db.transaction().execute(migrateAlone);
    } catch (error) {
      const isInUse = hasCode(error, 'STORE_UNREACHABLE') && sqlState(error.cause) === lockNotAvailable;
      if (!isInUse || performance.now() > triedUntil) throw error;
      await sleep(pauseMs);
    }
}

async function migrateAlone(tx: Transaction<LockTables>): Promise<void> {
  await tx
    .selectFrom(DEFAULT_MIGRATION_LOCK_TABLE)
    .select('id')
    .where('id', '=', MIGRATION_LOCK_ID)
    .forUpdate()
    .executeTakeFirstOrThrow();
  // Kysely looks at many things before its first change, so the tables are locked after that.
  const locked = Object.entries(migrations).map(([name, { up }]): [string, Migration] => [
    name,
    {
      up: async (db) => {
        await lockTables(db);
        await up(db);
      },
    },
  ]);
  await migrate(tx as unknown as Kysely<unknown>, Object.fromEntries(locked));
}

/** Every table before the first change. A migration that waits for a table while it holds others would stop the daemons. */
async function lockTables(tx: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ schema: string }>`select current_schema() as schema`.execute(tx);
  const tables = await tx.introspection.getTables();
  const names = tables.filter(({ schema }) => schema === rows[0]?.schema).map(({ name }) => name);
  if (!names.includes('ledger')) return;
  // The ledger first, like every change.
  names.sort((one, other) => Number(other === 'ledger') - Number(one === 'ledger'));
  await sql`set local lock_timeout = ${sql.lit(tableLockMs)}`.execute(tx);
  await sql`lock table ${sql.join(names.map((name) => sql.table(name)))} in access exclusive mode`.execute(
    tx,
  );
}

async function makeLock(db: Kysely<LockTables>): Promise<void> {
  try {
    await db.schema
      .createTable(DEFAULT_MIGRATION_LOCK_TABLE)
      .ifNotExists()
      // As Kysely makes it.
      .addColumn('id', 'varchar(255)', (column) => column.notNull().primaryKey())
      .addColumn('is_locked', 'integer', (column) => column.notNull().defaultTo(0))
      .execute();
  } catch (error) {
    // PostgreSQL refuses a table that another daemon makes at the same time, in spite of "if not exists".
    const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
    if (!tables.some(({ name }) => name === DEFAULT_MIGRATION_LOCK_TABLE)) throw error;
  }
  await db
    .insertInto(DEFAULT_MIGRATION_LOCK_TABLE)
    .values({ id: MIGRATION_LOCK_ID })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
}

function mayNotPrepare({ name }: PostgresConnection, cause: Error): IdentityError {
  return new IdentityError(
    'STORE_PERMISSIONS',
    `The database ${name} lacks the tables of this version, and its user may not make them. Let the owner of the database make them: palyra registry prepare (docs/fleet.md).`,
    { cause, about: 'registry' },
  );
}

/** Kysely on one connection. It takes no lock of its own. */
function kyselyOn<Tables>(connection: PostgresConnection): Kysely<Tables> {
  const client = {
    query: (text: string, values: readonly unknown[]) => connection.query(text, values),
    release: () => {},
  };
  const pool = { connect: async () => client, end: async () => {} };
  return new Kysely<Tables>({ dialect: new DialectWithoutLock({ pool: pool as never }) });
}

class DialectWithoutLock extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return new AdapterWithoutLock();
  }
}

class AdapterWithoutLock extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}
