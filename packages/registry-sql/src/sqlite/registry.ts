// The registry on one SQLite connection. One change is open at a time, and a read waits only while one is, because the
// connection would show it what is not committed yet.
//
// Making a commit durable takes several times what a change takes. So changes that wait are made together: one after the
// other, each undone alone when it fails, all of them made durable by one commit before any is answered.

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

/** The most changes in one commit: reads wait for it. */
const CHANGES_TOGETHER = 32;
/** The most time for changes in one turn of the event loop, ms. */
const TURN_MS = 2;

/** A change that waits for its turn. */
interface Change {
  readonly work: (tx: RegistryTransaction) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A change that is made or undone, and is answered once the commit is durable. */
interface Made {
  readonly events: readonly RegistryEvent[];
  readonly answer: () => void;
}

export class SqliteRegistry extends SqlReads implements Registry {
  readonly #connection: SqliteConnection;
  readonly #door: Door;
  readonly #snapshot: () => Promise<RegistryReader>;
  readonly #waiting: Change[] = [];
  #working: Promise<void> | undefined;
  #turnBegan: number | undefined;
  #changes = 0;
  readonly #listeners: RegistryListeners;
  #closed: Promise<void> | undefined;

  /** @param options.snapshot opens a reader of what is committed. */
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
      // A flood of changes must not keep the process from its sockets; and what comes meanwhile is made together.
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

  /** Makes this change and those that wait behind it, and commits them. */
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
        // They have been answered with what went wrong first. Who comes next rolls back before anything else.
      }
    } finally {
      leave();
    }
  }

  get changes(): number {
    return this.#changes;
  }

  /** A commit that fails may have left something all the same. */
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

  /** @throws what undid the changes before it as well. */
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

  /** Lets nobody in from now on, and waits for those who came before. */
  async #shut(): Promise<void> {
    this.#door.isShut = true;
    await this.#working;
    this.#connection.close();
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
    // Nobody is inside: what is still open was to be undone, and nobody may see it.
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

/** Who may use the connection: changes while they are made, readers otherwise. */
class Door {
  /** Resolves when the changes that are inside leave. */
  someoneInside: Promise<void> | undefined;
  isShut = false;

  /** Returns the way out. */
  enter(): () => void {
    const readers = Promise.withResolvers<void>();
    this.someoneInside = readers.promise;
    return () => {
      this.someoneInside = undefined;
      // They run before the next change, which begins later.
      readers.resolve();
    };
  }

  mustBeOpen(): void {
    if (this.isShut)
      throw new IdentityError('STORE_FAILED', 'The registry is closed, because its program is stopping.');
  }
}
