// Runs the statements of one change, until the change is over or a statement fails.

import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import type { SqliteConnection } from './connection.ts';

export class InsideExecutor implements Executor {
  readonly #connection: SqliteConnection;
  #over = false;
  #failure: unknown;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  async all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    return this.#run(() => this.#connection.all(query));
  }

  async run(query: CompiledQuery): Promise<number> {
    return this.#run(() => this.#connection.run(query));
  }

  /** Throws a failure that `work` ignored, so that half a change is never committed. */
  end(): void {
    if (this.#failure) throw this.#failure;
    this.#over = true;
  }

  close(): void {
    this.#over = true;
  }

  #run<T>(statement: () => T): T {
    if (this.#over) throw new TypeError('this transaction is over; await everything inside `transact`');
    // After a failure, SQLite may have left the transaction, and the next statement would commit by itself.
    if (this.#failure) throw this.#failure;
    try {
      return statement();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
