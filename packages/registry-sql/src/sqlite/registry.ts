// The registry on one SQLite connection. One change is open at a time. Reads wait for it, because the connection would
// show them uncommitted data.
//
// Making a commit durable takes several times as long as a change. So waiting changes share a commit: they run one
// after the other, a failed one is undone separately, and one commit makes them durable before any is answered.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { IdentityError } from '@palyra/identity';
import {
  type ListenerErrors,
  type Registry,
  type RegistryEvent,
  type RegistryListener,
  RegistryListeners,
  type RegistryReader,
  type RegistryTransaction,
} from '@palyra/identity/registry';
import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import { SqlReads } from '../reads.ts';
import type { Statements } from '../statements.ts';
import { SqlTransaction } from '../transaction.ts';
import type { SqliteConnection } from './connection.ts';

/** Most changes in one commit, because reads wait for it. */
const CHANGES_TOGETHER = 32;
/** Longest time for changes in one turn of the event loop, ms. */
const TURN_MS = 2;

/** A change that waits for its turn. */
interface Change {
  readonly work: (tx: RegistryTransaction) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A change that was made or undone. It is answered when the commit is durable. */
interface Made {
  readonly events: readonly RegistryEvent[];
  readonly answer: () => void;
}

export class SqliteRegistry extends SqlReads implements Registry {
  readonly isShared = false;
  readonly sharedLists = undefined;
  readonly #connection: SqliteConnection;
  readonly #door: Door;
  readonly #snapshot: () => Promise<RegistryReader>;
  readonly #waiting: Change[] = [];
  #working: Promise<void> | undefined;
  #turnBegan: number | undefined;
  #changes = 0;
  readonly #listeners: RegistryListeners;
  #closed: Promise<void> | undefined;

  /** @param options.snapshot opens a reader of the committed data. */
  constructor(
    connection: SqliteConnection,
    statements: Statements,
    options: {
      readonly snapshot: () => Promise<RegistryReader>;
      readonly onError: ListenerErrors | undefined;
    },
  ) {
    const door = new Door();
    super(new OutsideExecutor(connection, door), statements);
    this.#connection = connection;
    this.#door = door;
    this.#listeners = new RegistryListeners(options.onError);
    this.#snapshot = options.snapshot;
  }

  async transact<T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T> {
    this.#door.mustBeOpen();
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as (value: unknown) => void, reject });
      this.#working ??= this.#work();
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      // A flood of changes must not block the sockets. Changes that arrive meanwhile share the next commit.
      while (this.#isTurnOver()) await nextTurn();
      await this.#together(this.#waiting.shift()!);
    }
    this.#working = undefined;
  }

  #isTurnOver(): boolean {
    const now = performance.now();
    if (this.#turnBegan === undefined) {
      this.#turnBegan = now;
      setImmediate(() => {
        this.#turnBegan = undefined;
      });
    }
    return now - this.#turnBegan > TURN_MS;
  }

  /** Makes this change and those waiting behind it, and commits them. */
  async #together(first: Change): Promise<void> {
    const leave = this.#door.enter();
    const taken: Change[] = [];
    const made: Made[] = [];
    try {
      for (let next: Change | undefined = first; next; next = this.#nextOf(taken)) {
        taken.push(next);
        if (taken.length === 1) this.#connection.begin();
        made.push(await this.#make(next));
      }
      this.#commit();
      this.#listeners.tell(made.flatMap(({ events }) => events));
      for (const { answer } of made) answer();
    } catch (error) {
      for (const { reject } of taken) reject(error);
      try {
        this.#connection.rollback();
      } catch {
        // The changes have been answered with the first error. The next change first rolls back.
      }
    } finally {
      leave();
    }
  }

  get changes(): number {
    return this.#changes;
  }

  /** Only this process changes the registry. */
  upToDate(): undefined {
    return undefined;
  }

  /** A failed commit may still leave an open transaction. */
  #commit(): void {
    try {
      this.#connection.commit();
    } finally {
      this.#changes += 1;
    }
  }

  #nextOf(taken: readonly Change[]): Change | undefined {
    return taken.length < CHANGES_TOGETHER ? this.#waiting.shift() : undefined;
  }

  /** @throws an error that also undid the earlier changes. */
  async #make({ work, resolve, reject }: Change): Promise<Made> {
    const inside = new InsideExecutor(this.#connection);
    this.#connection.beginPart();
    try {
      const tx = new SqlTransaction(inside, this.statements);
      const result = await work(tx);
      inside.end();
      this.#connection.endPart();
      return { events: tx.events, answer: () => resolve(result) };
    } catch (error) {
      inside.close();
      if (!this.#connection.isInTransaction) throw error;
      this.#connection.undoPart();
      return { events: [], answer: () => reject(error) };
    }
  }

  async snapshot(): Promise<RegistryReader> {
    this.#door.mustBeOpen();
    return this.#snapshot();
  }

  enforce(listener: RegistryListener): () => void {
    return this.#listeners.enforce(listener);
  }

  subscribe(listener: RegistryListener): () => void {
    return this.#listeners.observe(listener);
  }

  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  /** Refuses new work, and waits for the earlier work. */
  async #shut(): Promise<void> {
    this.#door.isShut = true;
    await this.#working;
    this.#connection.close();
  }
}

/** Runs reads outside a change. */
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
    // No change is running. A transaction that is still open must be undone, and nobody may see its data.
    this.#connection.rollback();
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

/** Controls the use of the connection: by a running change, and otherwise by readers. */
class Door {
  /** Resolves when the running change leaves. */
  someoneInside: Promise<void> | undefined;
  isShut = false;

  /** Enters. @returns the function that leaves. */
  enter(): () => void {
    const readers = Promise.withResolvers<void>();
    this.someoneInside = readers.promise;
    return () => {
      this.someoneInside = undefined;
      // The waiting readers run before the next change, which begins later.
      readers.resolve();
    };
  }

  mustBeOpen(): void {
    if (this.isShut)
      throw new IdentityError('STORE_FAILED', 'The registry is closed, because its program is stopping.');
  }
}
