// A connection to a SQLite database that prepares every statement once. All calls are synchronous.

import { backup, DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { CompiledQuery, SqliteDatabase } from 'kysely';
import { storeError } from './store-error.ts';

/** Longest wait for another process's write. It is short, because it blocks the whole process. */
const BUSY_TIMEOUT_MS = 1000;
/** Most memory for pages, allocated as they are read. `standing` of 1,000,000 devices fits. */
const CACHE_KIB = 256 * 1024;
/** The same for reads during a change, which forget everything with each change. */
const BESIDE_CACHE_KIB = 16 * 1024;

export class SqliteConnection {
  /** The path, for messages. */
  readonly path: string;
  readonly #database: DatabaseSync;
  // The SQL has a few dozen shapes, so this stays small.
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Commits without waiting for the disk. What is lost in a power cut is a number of the last changes, never a part of
   * one. It leaves the log to `Checkpoints`.
   * @throws STORE_FULL, STORE_FAILED, like every method.
   */
  static forWriting(path: string): SqliteConnection {
    return new SqliteConnection(
      path,
      () => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }),
      `
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA wal_autocheckpoint = 0;
        PRAGMA fullfsync = ON;
        PRAGMA foreign_keys = ON;
        PRAGMA cache_size = -${CACHE_KIB};
      `,
    );
  }

  /**
   * A connection that cannot write, and sees one snapshot while it is open.
   * @param path for messages.
   */
  static forReading(path: string, open: () => DatabaseSync): SqliteConnection {
    // The first read after BEGIN fixes the snapshot.
    return new SqliteConnection(path, open, 'PRAGMA query_only = ON; BEGIN; SELECT 1 FROM sqlite_schema');
  }

  /** A connection beside the writing one, which reads the present state until `beginReading` keeps it. */
  static besideWriting(path: string): SqliteConnection {
    return new SqliteConnection(
      path,
      () => new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS }),
      `PRAGMA query_only = ON; PRAGMA cache_size = -${BESIDE_CACHE_KIB};`,
    );
  }

  private constructor(path: string, open: () => DatabaseSync, setUp: string) {
    this.path = path;
    this.#database = this.#try(open);
    try {
      this.#try(() => this.#database.exec(setUp));
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  all<Row>(query: CompiledQuery<Row>): Row[] {
    return this.#try(() => this.#prepare(query.sql).all(...values(query.parameters)) as Row[]);
  }

  /** Returns the number of changed rows. */
  run(query: CompiledQuery): number {
    return this.#try(() => Number(this.#prepare(query.sql).run(...values(query.parameters)).changes));
  }

  /** If an earlier rollback failed, its changes must not be committed with the new transaction. */
  begin(): void {
    this.rollback();
    this.#try(() => this.#prepare('BEGIN IMMEDIATE').run());
  }

  /** Keeps showing the present state, until `rollback`. */
  beginReading(): void {
    this.rollback();
    this.#try(() => {
      this.#prepare('BEGIN').run();
      // The first read fixes the snapshot.
      this.#prepare('SELECT 1 FROM sqlite_schema').get();
    });
  }

  commit(): void {
    this.#try(() => this.#prepare('COMMIT').run());
  }

  /** Pages of changes in the log. */
  get logPages(): number {
    return this.#try(() => Number(this.#prepare('PRAGMA wal_checkpoint(NOOP)').get()?.log ?? 0));
  }

  /** Begins a part of a transaction that can be undone separately. */
  beginPart(): void {
    this.#try(() => this.#prepare('SAVEPOINT part').run());
  }

  endPart(): void {
    this.#try(() => this.#prepare('RELEASE part').run());
  }

  undoPart(): void {
    this.#try(() => this.#prepare('ROLLBACK TO part').run());
    this.endPart();
  }

  /** Also false after an error for which SQLite rolled back the whole transaction. */
  get isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  rollback(): void {
    if (this.isInTransaction) this.#try(() => this.#prepare('ROLLBACK').run());
  }

  close(): void {
    this.#database.close();
  }

  /** Copies the database into a file, and overwrites the file. @param signal ends the work with its reason. */
  async backUp(path: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await backup(this.#database, path, { progress: () => signal?.throwIfAborted() });
  }

  /** A copy of the whole database, in memory. */
  copy(): DatabaseSync {
    const copied = new DatabaseSync(':memory:');
    copied.deserialize(this.#database.serialize());
    return copied;
  }

  /** The database for Kysely's own dialect, which runs the migrations. */
  kyselyDatabase(): SqliteDatabase {
    return {
      close: () => this.close(),
      prepare: (sql) => {
        const statement = this.#database.prepare(sql);
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => statement.all(...values(parameters)),
          run: (parameters) => statement.run(...values(parameters)),
          iterate: (parameters) => statement.iterate(...values(parameters)),
        };
      },
    };
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #try<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw storeError(error, this.path);
    }
  }
}

/** SQLite itself refuses values that it does not support. */
function values(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters as SQLInputValue[];
}
