// The end of a transaction: commit, and what came of a commit that was interrupted.

import { IdentityError } from '@palyra/identity';
import type { AuditHead } from '../transaction.ts';
import type { PostgresConnection } from './connection.ts';
import type { Link } from './link.ts';
import type { FleetStatements } from './statements.ts';
import { sqlState, unreachable } from './store-error.ts';

export interface OutcomeOptions {
  readonly link: Link;
  readonly fleet: FleetStatements;
}

/** How long an interrupted commit is looked up, and the pause between two tries, ms. */
const lookUpMs = 5_000;
const lookUpPauseMs = 250;

/** @throws STORE_UNREACHABLE if it was not committed, and STORE_OUTCOME_UNKNOWN if the outcome is unknown. */
export async function commit(
  connection: PostgresConnection,
  transaction: string,
  head: AuditHead,
  options: OutcomeOptions,
): Promise<void> {
  let failure: unknown;
  try {
    const { warnings } = connection;
    await connection.execute('commit');
    if (connection.warnings === warnings) return;
    failure = unreachable(connection.name, 'somebody cancelled the wait for its standby');
  } catch (error) {
    if (!connection.isBroken) throw error;
    failure = error;
  }
  if (!(await wasCommitted(transaction, head, options, failure))) throw failure;
}

/**
 * Asks the server, after a lost connection on another one. The transaction may still be waiting for a standby.
 * @param head the ledger after it.
 */
async function wasCommitted(
  transaction: string,
  head: AuditHead,
  { link, fleet }: OutcomeOptions,
  cause: unknown,
): Promise<boolean> {
  for (const giveUpAt = performance.now() + lookUpMs; performance.now() < giveUpAt; ) {
    try {
      const connection = await link.get();
      const [row] = await connection.all(fleet.transactionState({ id: transaction }));
      if (row?.state === 'aborted') return false;
      if (row?.state === 'committed') {
        // After a failover that lost it, another transaction may have got its number.
        if (!(await hasRow(connection, fleet, head))) return false;
        if (await hasReachedStandbys(connection)) return true;
      }
      // After a crash, a server that has not recovered knows less than this transaction.
    } catch (error) {
      if (error instanceof IdentityError && sqlState(error.cause) === '22023') return false;
    }
    await new Promise((resolve) => setTimeout(resolve, lookUpPauseMs));
  }
  throw new IdentityError(
    'STORE_OUTCOME_UNKNOWN',
    'The database was lost during a commit, and the outcome is unknown: the change may have been made. Check whether it was before you repeat it.',
    { cause },
  );
}

/**
 * A restarted server shows transactions as committed that synchronous standbys may lack. A later commit waits for the
 * standbys, and so for everything before it.
 */
async function hasReachedStandbys(connection: PostgresConnection): Promise<boolean> {
  const { warnings } = connection;
  try {
    await connection.execute('begin; update ledger set event_seq = event_seq; commit');
  } catch (error) {
    await rollBack(connection);
    throw error;
  }
  return connection.warnings === warnings;
}

/** A connection on which it fails is not used again, so nothing of it is ever committed. */
export async function rollBack(connection: PostgresConnection): Promise<void> {
  try {
    await connection.execute('rollback');
  } catch {
    connection.destroy();
  }
}

/** Whether the database has this row of the audit. */
export async function hasRow(
  connection: PostgresConnection,
  fleet: FleetStatements,
  { seq, hash }: AuditHead,
): Promise<boolean> {
  if (seq === 0) return true;
  const [row] = await connection.all(fleet.auditHash({ seq }));
  return row?.hash === hash;
}
