// Opens the registry in a PostgreSQL database.

import { IdentityError } from '@palyra/identity';
import type { ListenerErrors } from '@palyra/identity/registry';
import type { Kysely } from 'kysely';
import { type Statements, statementsFor } from '../statements.ts';
import type { Tables } from '../tables.ts';
import type { AuditHead } from '../transaction.ts';
import { parsePostgresUrl } from './address.ts';
import { movedAway, wentBack } from './commit.ts';
import { PostgresConnection } from './connection.ts';
import { type FleetMember, memberOf } from './members.ts';
import { mustBePrepared, prepareDatabase, whileMigrating } from './prepare.ts';
import { mustHold, PostgresRegistry } from './registry.ts';
import { PostgresReader } from './snapshot.ts';
import { compiler, fleetStatements } from './statements.ts';
import { storeError } from './store-error.ts';

export interface PostgresRegistryOptions {
  /** postgres://USER:PASSWORD@HOST:PORT/DATABASE */
  readonly url: string;
  /** This daemon, for the others. */
  readonly daemon: string;
  /** The last row of the audit that this daemon saw in an earlier run. */
  readonly seen?: AuditHead;
  /** Gets the errors of listeners. Default: they are thrown as uncaught exceptions. */
  readonly onError?: ListenerErrors;
  /** False to poll for changes of other daemons every 250 ms only. Default: daemons notify each other through the database. */
  readonly listens?: boolean;
}

/**
 * Opens the registry, and migrates the database to this version. Daemons that start at the same time migrate it only once.
 * @throws MESSAGE_INVALID for the URL; STORE_UNREACHABLE; STORE_PERMISSIONS; REGISTRY_VERSION if a newer program wrote it;
 *   REGISTRY_WENT_BACK; STORE_FULL, STORE_FAILED.
 */
export async function openPostgresRegistry(options: PostgresRegistryOptions): Promise<PostgresRegistry> {
  const address = await parsePostgresUrl(options.url);
  const connection = await PostgresConnection.open(address, whileMigrating);
  try {
    const fleet = fleetStatements();
    // Before anything is created, because a database that lost everything must not count as a new one.
    if (options.seen && !(await hasLedger(connection))) throw wentBack(address.name);
    await prepareDatabase(connection);
    if (options.seen) await mustHold(connection, fleet, options.seen);
    const [row] = await connection.all(fleet.head({ seen: 0 }));
    if (!row)
      throw new IdentityError(
        'STORE_FAILED',
        `The database ${address.name} has no row in its table ledger. Restore it.`,
      );
    if (row.moved_by !== null) throw movedAway(address.name);
    const head = { seq: row.audit_seq, hash: row.audit_hash, eventSeq: row.event_seq };
    const { daemon, onError, listens = true } = options;
    return new PostgresRegistry({ address, statements: statements(), daemon, head, onError, listens });
  } catch (error) {
    throw storeError(error, address.name);
  } finally {
    await connection.close();
  }
}

/**
 * Reads a snapshot of a registry without writing.
 * @throws as `openPostgresRegistry`, and REGISTRY_VERSION if the daemon of this version has not been started yet.
 */
export async function lookAtPostgresRegistry<T>(
  url: string,
  look: (registry: PostgresReader) => Promise<T>,
): Promise<T> {
  const address = await parsePostgresUrl(url);
  const connection = await PostgresConnection.open(address);
  try {
    await mustBePrepared(connection);
  } finally {
    await connection.close();
  }
  const reader = await PostgresReader.open(address, statements());
  try {
    return await look(reader);
  } finally {
    await reader.close();
  }
}

/** The daemons that share a database, and what they did last for all. @throws as `lookAtPostgresRegistry` */
export async function lookAtFleet(url: string): Promise<readonly FleetMember[]> {
  const address = await parsePostgresUrl(url);
  const connection = await PostgresConnection.open(address);
  try {
    await mustBePrepared(connection);
    return (await connection.all(fleetStatements().daemons({}))).map(memberOf);
  } catch (error) {
    throw storeError(error, address.name);
  } finally {
    await connection.close();
  }
}

function statements(): Statements {
  return statementsFor(compiler as unknown as Kysely<Tables>);
}

async function hasLedger(connection: PostgresConnection): Promise<boolean> {
  const [row] = await connection.execute("select to_regclass('public.ledger') is not null as found");
  return row?.found === true;
}
