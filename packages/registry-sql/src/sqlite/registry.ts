// The registry on one SQLite connection. One change is open at a time, and a read waits only while one is, because the
// connection would show it what is not committed yet.

import {
  type AuditRow,
  IdentityError,
  type Registry,
  type RegistryEvent,
  type RegistryTransaction,
} from '@palyra/identity';
import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import { SqlReads } from '../reads.ts';
import type { Statements } from '../statements.ts';
import { SqlTransaction } from '../transaction.ts';
import type { SqliteConnection } from './connection.ts';

const AUDIT_PAGE_ROWS = 500;

export class SqliteRegistry extends SqlReads implements Registry {
  readonly #connection: SqliteConnection;
  readonly #door: Door;
  readonly #listeners = new Set<(event: RegistryEvent) => void>();
  #closed: Promise<void> | undefined;

  constructor(connection: SqliteConnection, statements: Statements) {
    const door = new Door();
    super(new OutsideExecutor(connection, door), statements);
    this.#connection = connection;
    this.#door = door;
  }

  async transact<T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T> {
    const leave = await this.#door.enter();
    const inside = new InsideExecutor(this.#connection);
    try {
      this.#connection.begin();
      const tx = new SqlTransaction(inside, this.statements);
      const result = await work(tx);
      inside.end();
      this.#connection.commit();
      for (const event of tx.events) this.#tell(event);
      return result;
    } catch (error) {
      inside.close();
      this.#connection.rollback();
      throw error;
    } finally {
      leave();
    }
  }

  async *auditRows(): AsyncIterable<AuditRow> {
    let page: AuditRow[];
    let seq = 0;
    do {
      page = await this.auditPage(seq, AUDIT_PAGE_ROWS);
      yield* page;
      seq = page.at(-1)?.seq ?? seq;
    } while (page.length === AUDIT_PAGE_ROWS);
  }

  subscribe(listener: (event: RegistryEvent) => void): () => void {
    // Wrapped, so that a function subscribed twice is told twice and each end ends one.
    const entry = (event: RegistryEvent) => listener(event);
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  close(): Promise<void> {
    this.#closed ??= this.#door.shut().then(() => this.#connection.close());
    return this.#closed;
  }

  #tell(event: RegistryEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch {
        // The change is made and others must hear of it; the listener answers for its own errors.
      }
    }
  }
}

/** Runs the reads that are not part of a change. */
class OutsideExecutor implements Executor {
  readonly #connection: SqliteConnection;
  readonly #door: Door;

  constructor(connection: SqliteConnection, door: Door) {
    this.#connection = connection;
    this.#door = door;
  }

  async all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    while (this.#door.someoneInside) await this.#door.someoneInside;
    this.#door.mustBeOpen();
    return this.#connection.all(query);
  }

  async run(): Promise<number> {
    throw new TypeError('a change needs a transaction');
  }
}

/** Runs the statements of one change. */
class InsideExecutor implements Executor {
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

  /** Throws the failure that `work` passed over: half a change is not committed. */
  end(): void {
    if (this.#failure) throw this.#failure;
    this.#over = true;
  }

  close(): void {
    this.#over = true;
  }

  #run<T>(statement: () => T): T {
    if (this.#over) throw new TypeError('this transaction is over; await everything inside `transact`');
    // After a failure SQLite may have left the transaction, and the next statement would commit by itself.
    if (this.#failure) throw this.#failure;
    try {
      return statement();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}

/** Lets one change in at a time, in the order they came, and readers between any two. */
class Door {
  /** Resolves when the change that is inside leaves. */
  someoneInside: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();
  #shut = false;

  /** Returns the way out. */
  async enter(): Promise<() => void> {
    this.mustBeOpen();
    const before = this.#last;
    const readers = Promise.withResolvers<void>();
    const next = Promise.withResolvers<void>();
    this.#last = next.promise;
    await before;
    this.someoneInside = readers.promise;
    return () => {
      this.someoneInside = undefined;
      // Readers first: they run before the next change, which is resumed after them.
      readers.resolve();
      next.resolve();
    };
  }

  /** Lets nobody in from now on, and waits for those who came before. */
  async shut(): Promise<void> {
    this.#shut = true;
    await this.#last;
  }

  mustBeOpen(): void {
    if (this.#shut)
      throw new IdentityError('STORE_FAILED', 'The registry is closed, because its program is stopping.');
  }
}
