// One connection to a SQLite database, with every statement prepared once. All calls are synchronous.

import { backup, DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { CompiledQuery, SqliteDatabase } from 'kysely';
import { storeError } from './store-error.ts';

/** How long another process's write is waited for. The whole process waits, so it is short. */
const BUSY_TIMEOUT_MS = 1000;
/** The most memory for pages, taken only as they are read: `standing` of 1,000,000 devices stays inside it. */
const CACHE_KIB = 256 * 1024;

export class SqliteConnection {
  /** For messages. */
  readonly path: string;
  readonly #database: DatabaseSync;
  // The SQL has a few dozen shapes, so this stays small.
  readonly #statements = new Map<string, StatementSync>();

  /** @throws STORE_FULL, STORE_FAILED, as every method. */
  static forWriting(path: string): SqliteConnection {
    return new SqliteConnection(
      path,
      () => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }),
      `
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA fullfsync = ON;
        PRAGMA foreign_keys = ON;
        PRAGMA cache_size = -${CACHE_KIB};
      `,
    );
  }

  /**
   * One that cannot write, and sees one moment as long as it is open.
   * @param path for messages.
   */
  static forReading(path: string, open: () => DatabaseSync): SqliteConnection {
    // The moment is that of the first read after BEGIN.
    return new SqliteConnection(path, open, 'PRAGMA query_only = ON; BEGIN; SELECT 1 FROM sqlite_schema');
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

  /** Returns how many rows changed. */
  run(query: CompiledQuery): number {
    return this.#try(() => Number(this.#prepare(query.sql).run(...values(query.parameters)).changes));
  }

  /** What could not be rolled back before must not be committed with what begins now. */
  begin(): void {
    this.rollback();
    this.#try(() => this.#prepare('BEGIN IMMEDIATE').run());
  }

  commit(): void {
    this.#try(() => this.#prepare('COMMIT').run());
  }

  /** Begins a part of a transaction that can be undone alone. */
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

  /** False also after an error that made SQLite give up the whole transaction by itself. */
  get isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  rollback(): void {
    if (this.isInTransaction) this.#try(() => this.#prepare('ROLLBACK').run());
  }

  close(): void {
    this.#database.close();
  }

  /** Into a file, over what is there. */
  async backUp(path: string): Promise<void> {
    await backup(this.#database, path);
  }

  /** All of it, as a database in memory. */
  copy(): DatabaseSync {
    const copied = new DatabaseSync(':memory:');
    copied.deserialize(this.#database.serialize());
    return copied;
  }

  /** For Kysely's own dialect, which runs the migrations. */
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

/** SQLite itself refuses what it cannot take. */
function values(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters as SQLInputValue[];
}
