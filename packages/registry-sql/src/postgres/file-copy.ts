// Copies a registry in a database into a new SQLite file: for a backup, and for a move into a file.

import { SqliteConnection } from '../sqlite/connection.ts';
import { syncLogOf } from '../sqlite/log.ts';
import { openSqliteRegistry } from '../sqlite/open.ts';
import { parsePostgresUrl } from './address.ts';
import { movedAway } from './commit.ts';
import { PostgresConnection } from './connection.ts';
import { copyRows, postgresSide, sqliteCompiler, sqliteSide } from './copied-rows.ts';
import { mustBePrepared } from './prepare.ts';
import { moveSession } from './verified-copy.ts';

/**
 * Copies one moment of a registry, while its daemons may run.
 * @param path the file, which must not exist.
 * @param signal ends the work with its reason.
 * @throws REGISTRY_VERSION, REGISTRY_MOVED, and errors of both stores.
 */
export async function copyPostgresRegistry(url: string, path: string, signal?: AbortSignal): Promise<void> {
  const connection = await PostgresConnection.open(await parsePostgresUrl(url), moveSession);
  try {
    await mustBePrepared(connection);
    // The first read fixes the moment.
    const [ledger] = await connection.execute(
      'begin isolation level repeatable read read only; select devices, audit_seq, audit_hash, moved_by from ledger',
    );
    const { devices, audit_seq, audit_hash, moved_by: movedBy } = ledger ?? {};
    if (movedBy !== null) throw movedAway(connection.name);
    await writeSqliteFile(
      connection,
      path,
      { devices: Number(devices), audit_seq: Number(audit_seq), audit_hash: String(audit_hash) },
      signal,
    );
  } finally {
    await connection.close();
  }
}

/** Bytes on the disk of the database, indexes included. */
export async function sizeOfPostgresRegistry(url: string): Promise<number> {
  const connection = await PostgresConnection.open(await parsePostgresUrl(url));
  try {
    const [row] = await connection.execute('select pg_database_size(current_database()) as bytes');
    return Number(row?.bytes);
  } finally {
    await connection.close();
  }
}

/** Writes the registry that the transaction of this connection sees into a new file. */
export async function writeSqliteFile(
  connection: PostgresConnection,
  path: string,
  ledger: { readonly devices: number; readonly audit_seq: number; readonly audit_hash: string },
  signal?: AbortSignal,
): Promise<void> {
  // Makes the tables.
  await (await openSqliteRegistry({ path })).close();
  const file = SqliteConnection.forWriting(path);
  try {
    file.begin();
    await copyRows(postgresSide(connection), sqliteSide(file), signal);
    file.run(sqliteCompiler.updateTable('ledger').set(ledger).compile());
    file.commit();
    await syncLogOf(path);
  } finally {
    file.close();
  }
}
