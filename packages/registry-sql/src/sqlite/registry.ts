// The registry on one SQLite connection. One change is open at a time, and readers see the registry as it was before
// (door.ts).
//
// Making a commit durable takes many times as long as a change. So waiting changes share a commit: they run one after
// the other, a failed one is undone separately, and one sync makes them durable before any is answered. The program
// goes on meanwhile.

import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  changeMade,
  type ListenerErrors,
  type Registry,
  type RegistryEvent,
  type RegistryListener,
  RegistryListeners,
  type RegistryReader,
  type RegistryTransaction,
} from '@palyra/identity/registry';
import { SqlReads } from '../reads.ts';
import { integer, text, unreadable } from '../rows/column.ts';
import type { Statements } from '../statements.ts';
import { type AuditHead, SqlTransaction } from '../transaction.ts';
import { Checkpoints } from './checkpoints.ts';
import type { SqliteConnection } from './connection.ts';
import { Door, OutsideExecutor } from './door.ts';
import { InsideExecutor } from './inside-executor.ts';
import type { ChangeLog } from './log.ts';

/** Most changes in one commit. */
const CHANGES_TOGETHER = 256;
/** Most answers in one turn of the event loop. */
const ANSWERS_TOGETHER = 32;
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
  /** Of the audit after the change. */
  readonly head: AuditHead;
  readonly answer: () => void;
}

/** What a registry in a file has. */
export interface RegistryDisk {
  readonly log: ChangeLog;
  /** Shows the registry before the running change. */
  readonly before: SqliteConnection;
}

export class SqliteRegistry extends SqlReads implements Registry {
  readonly isShared = false;
  readonly sharedLists = undefined;
  readonly #connection: SqliteConnection;
  readonly #door: Door;
  readonly #disk: RegistryDisk | undefined;
  readonly #checkpoints: Checkpoints | undefined;
  readonly #snapshot: () => Promise<RegistryReader>;
  readonly #waiting: Change[] = [];
  #working: Promise<void> | undefined;
  #turnBegan: number | undefined;
  #changes = 0;
  readonly #listeners: RegistryListeners;
  #closed: Promise<void> | undefined;

  /**
   * @param options.snapshot opens a reader of the committed data.
   * @param options.disk undefined for a registry in memory.
   */
  constructor(
    connection: SqliteConnection,
    statements: Statements,
    options: {
      readonly snapshot: () => Promise<RegistryReader>;
      readonly disk: RegistryDisk | undefined;
      readonly onError: ListenerErrors | undefined;
    },
  ) {
    const { snapshot, disk, onError } = options;
    const door = new Door(connection, disk?.before);
    super(new OutsideExecutor(door), statements);
    this.#connection = connection;
    this.#door = door;
    this.#disk = disk;
    this.#checkpoints =
      disk &&
      new Checkpoints(connection, {
        onWaiting: () => this.#start(),
        onError: (error) => onError?.(error, 'copying the log of the registry'),
      });
    this.#listeners = new RegistryListeners(onError);
    this.#snapshot = snapshot;
  }

  async transact<T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T> {
    this.#door.mustBeOpen();
    this.#mustStore();
    const result = await new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as (value: unknown) => void, reject });
      this.#start();
    });
    changeMade();
    return result;
  }

  #start(): void {
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0 || this.#checkpoints?.isWaiting) {
      await this.#checkpoints?.betweenChanges();
      if (this.#waiting.length > 0) await this.#together();
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

  /** Makes the waiting changes, and commits them. */
  async #together(): Promise<void> {
    const taken: Change[] = [];
    const made: Made[] = [];
    this.#door.enter();
    try {
      this.#mustStore();
      this.#connection.begin();
      const before = this.#readHead();
      let head = before;
      while (taken.length < CHANGES_TOGETHER) {
        // A flood of changes must not block the sockets. Changes that arrive meanwhile are made too.
        while (this.#isTurnOver()) await nextTurn();
        const next = this.#waiting.shift();
        if (!next) break;
        taken.push(next);
        const result = await this.#make(next, head);
        made.push(result);
        head = result.head;
      }
      if (head !== before)
        this.#connection.run(this.statements.moveAuditHead({ audit_seq: head.seq, audit_hash: head.hash }));
      await this.#commit();
    } catch (error) {
      // Without a transaction, none of the others can be made either.
      for (const { reject } of taken.length > 0 ? taken : this.#waiting.splice(0)) reject(error);
      this.#undo();
      return;
    }
    // Whoever hears of the changes can read them.
    this.#door.leave();
    this.#listeners.tell(made.flatMap(({ events }) => events));
    for (const [index, { answer }] of made.entries()) {
      if (index > 0 && index % ANSWERS_TOGETHER === 0) await nextTurn();
      answer();
    }
  }

  get changes(): number {
    return this.#changes;
  }

  /** Only this process changes the registry. */
  upToDate(): undefined {
    return undefined;
  }

  /** Commits, and waits for the disk. A failed commit may still leave an open transaction. */
  async #commit(): Promise<void> {
    try {
      this.#door.keepForReaders();
      this.#connection.commit();
      await this.#disk?.log.sync();
    } finally {
      this.#changes += 1;
    }
  }

  #undo(): void {
    if (this.#disk?.log.failure) {
      // Readers keep what is durable, for good.
      this.#door.stay();
      return;
    }
    try {
      this.#connection.rollback();
    } catch {
      // The changes have been answered with the first error. The next change first rolls back.
    }
    this.#door.leave();
  }

  /** @throws STORE_FAILED after the disk has failed. */
  #mustStore(): void {
    const failure = this.#disk?.log.failure;
    if (failure) throw failure;
  }

  #readHead(): AuditHead {
    const [row] = this.#connection.all(this.statements.auditHead({}));
    return row
      ? { seq: integer(row, 'audit_seq'), hash: text(row, 'audit_hash') }
      : unreadable('ledger', null);
  }

  /** @throws an error that also undid the earlier changes. */
  async #make({ work, resolve, reject }: Change, head: AuditHead): Promise<Made> {
    const inside = new InsideExecutor(this.#connection);
    this.#connection.beginPart();
    try {
      const tx = new SqlTransaction(inside, this.statements, head);
      const result = await work(tx);
      inside.end();
      this.#connection.endPart();
      return { events: tx.events, head: tx.head, answer: () => resolve(result) };
    } catch (error) {
      inside.close();
      if (!this.#connection.isInTransaction) throw error;
      this.#connection.undoPart();
      return { events: [], head, answer: () => reject(error) };
    }
  }

  async snapshot(): Promise<RegistryReader> {
    this.#door.mustBeOpen();
    const reader = await this.#snapshot();
    try {
      // What it shows may still be on its way to the disk.
      await this.#door.someoneInside;
      this.#mustStore();
      return reader;
    } catch (error) {
      await reader.close();
      throw error;
    }
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
    this.#door.shut();
    await this.#working;
    await this.#checkpoints?.close();
    this.#disk?.before.close();
    await this.#disk?.log.close();
    this.#connection.close();
  }
}
