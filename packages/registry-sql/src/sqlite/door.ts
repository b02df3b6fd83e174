// Who uses the connection of a registry: the running change, and otherwise the readers. While a change runs, readers use
// a second connection, which shows the registry as it was before the change. The change is over once it is durable. So
// no reader waits for the disk, and none sees a change that a power cut could undo.

import { IdentityError } from '@palyra/identity';
import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import type { SqliteConnection } from './connection.ts';

export class Door {
  readonly #connection: SqliteConnection;
  readonly #before: SqliteConnection | undefined;
  #someoneInside: PromiseWithResolvers<void> | undefined;
  #isShut = false;

  /** @param before reads the same file. Undefined for a registry in memory, whose readers wait for the change. */
  constructor(connection: SqliteConnection, before: SqliteConnection | undefined) {
    this.#connection = connection;
    this.#before = before;
  }

  /** Resolves when the running change leaves. */
  get someoneInside(): Promise<void> | undefined {
    return this.#someoneInside?.promise;
  }

  enter(): void {
    this.#someoneInside = Promise.withResolvers<void>();
  }

  /** Keeps the present state for the readers. Before the commit. */
  keepForReaders(): void {
    this.#before?.beginReading();
  }

  leave(): void {
    this.#before?.rollback();
    const inside = this.#someoneInside;
    this.#someoneInside = undefined;
    // The waiting readers run before the next change, which begins later.
    inside?.resolve();
  }

  /** For a change whose outcome is unknown: readers keep what they have. */
  stay(): void {
    this.#someoneInside?.resolve();
  }

  shut(): void {
    this.#isShut = true;
  }

  mustBeOpen(): void {
    if (this.#isShut)
      throw new IdentityError('STORE_FAILED', 'The registry is closed, because its program is stopping.');
  }

  /** Whether readers have to wait for the change. */
  get isClosedToReaders(): boolean {
    return this.#someoneInside !== undefined && !this.#before;
  }

  /** The connection that shows durable changes only. Use it at once: after an `await` it may be another one. */
  get forReaders(): SqliteConnection {
    this.mustBeOpen();
    if (this.#before && this.#someoneInside) return this.#before;
    // No change is running. A transaction that is still open must be undone, and nobody may see its data.
    this.#connection.rollback();
    return this.#connection;
  }
}

/** Runs reads outside a change. */
export class OutsideExecutor implements Executor {
  readonly #door: Door;

  constructor(door: Door) {
    this.#door = door;
  }

  async all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    while (this.#door.isClosedToReaders) await this.#door.someoneInside;
    return this.#door.forReaders.all(query);
  }

  async run(): Promise<number> {
    throw new TypeError('a change needs a transaction');
  }
}
