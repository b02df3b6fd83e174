// A read-only snapshot of the registry, on a separate connection.

import type { RegistryReader } from '@palyra/identity/registry';
import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import { SqlReads } from '../reads.ts';
import type { Statements } from '../statements.ts';
import type { PostgresAddress } from './address.ts';
import { PostgresConnection } from './connection.ts';

/** Time that a reader may work on the data between two reads, ms. */
const idleInTransactionMs = 10 * 60_000;
const statementMs = 60_000;

export class PostgresReader extends SqlReads implements RegistryReader {
  readonly #connection: PostgresConnection;

  static async open(address: PostgresAddress, statements: Statements): Promise<PostgresReader> {
    const connection = await PostgresConnection.open(address, { idleInTransactionMs, statementMs });
    try {
      // The first read fixes the snapshot.
      await connection.execute(
        'begin isolation level repeatable read read only; select audit_seq from ledger',
      );
      return new PostgresReader(connection, statements);
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  constructor(connection: PostgresConnection, statements: Statements) {
    super(new ReadExecutor(connection), statements);
    this.#connection = connection;
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

class ReadExecutor implements Executor {
  readonly #connection: PostgresConnection;

  constructor(connection: PostgresConnection) {
    this.#connection = connection;
  }

  all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    return this.#connection.all(query);
  }

  async run(): Promise<number> {
    throw new TypeError('a reader cannot change anything');
  }
}
