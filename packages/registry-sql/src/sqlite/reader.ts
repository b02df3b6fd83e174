// The reads of a registry on a separate connection, which cannot write.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RegistryReader } from '@palyra/identity/registry';
import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import { SqlReads } from '../reads.ts';
import type { Statements } from '../statements.ts';
import type { SqliteConnection } from './connection.ts';

/** Longest time for reads in one turn of the event loop, ms: a read of everything must not block a daemon's calls. */
const TURN_MS = 5;

export class SqliteReader extends SqlReads implements RegistryReader {
  readonly #connection: SqliteConnection;

  constructor(connection: SqliteConnection, statements: Statements) {
    super(new PoliteExecutor(connection), statements);
    this.#connection = connection;
  }

  async close(): Promise<void> {
    this.#connection.close();
  }
}

class PoliteExecutor implements Executor {
  readonly #connection: SqliteConnection;
  #turnBegan = performance.now();

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  async all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    if (performance.now() - this.#turnBegan > TURN_MS) {
      await nextTurn();
      this.#turnBegan = performance.now();
    }
    return this.#connection.all(query);
  }

  async run(): Promise<number> {
    throw new TypeError('a reader cannot change anything');
  }
}
