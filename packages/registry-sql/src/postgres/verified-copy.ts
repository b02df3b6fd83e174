// What both directions of a move have in common: readers of both sides, and the checks before a move counts.

import { IdentityError, verifyAudit } from '@palyra/identity';
import { describeDifference, type RegistryReader } from '@palyra/identity/registry';
import type { Executor } from '../executor.ts';
import { SqlReads } from '../reads.ts';
import type { SqliteConnection } from '../sqlite/connection.ts';
import { SqliteReader } from '../sqlite/reader.ts';
import { statementsFor } from '../statements.ts';
import type { PostgresConnection } from './connection.ts';
import { type CopySide, differingTables, postgresCompiler, sqliteCompiler } from './copied-rows.ts';

export interface Moved {
  /** The last row of the audit. */
  readonly seq: number;
  readonly hash: string;
  readonly devices: number;
  readonly certificates: number;
  /** An earlier attempt had copied everything already. */
  readonly wasThere: boolean;
}

/** A whole registry is checked in one statement or two. */
const statementMs = 60 * 60_000;
export const moveSession = { statementMs, idleInTransactionMs: statementMs };

export function sqliteReader(file: SqliteConnection): RegistryReader {
  return new SqliteReader(file, statementsFor(sqliteCompiler));
}

/** Reads inside the transaction of the move. */
export function postgresReader(connection: PostgresConnection): RegistryReader {
  return new ReaderInside(connection);
}

class ReaderInside extends SqlReads implements RegistryReader {
  constructor(connection: PostgresConnection) {
    const executor: Executor = {
      all: (query) => connection.all(query),
      run: () => Promise.reject(new TypeError('a reader cannot change anything')),
    };
    super(executor, statementsFor(postgresCompiler));
  }

  async close(): Promise<void> {}
}

/** @throws AUDIT_BROKEN naming what differs. */
export async function mustVerify(registry: RegistryReader, what: string): Promise<void> {
  const verdict = await verifyAudit(registry);
  if (verdict.ok) return;
  const found = verdict.differences.slice(0, 3).map(describeDifference);
  throw new IdentityError(
    'AUDIT_BROKEN',
    `${what} does not verify: ${found.length > 0 ? found.join('; ') : verdict.problem}. Nothing was changed.`,
  );
}

/** @throws AUDIT_BROKEN naming the tables that differ. */
export async function mustBeEqual(from: CopySide, to: CopySide, what: string): Promise<void> {
  const differing = await differingTables(from, to);
  if (differing.length === 0) return;
  throw new IdentityError('AUDIT_BROKEN', `${what} differs: ${differing.join(', ')}. Nothing was changed.`);
}

export async function certificatesIn(connection: PostgresConnection): Promise<number> {
  const [row] = await connection.execute('select count(*) as certificates from certificates');
  return Number(row?.certificates);
}
