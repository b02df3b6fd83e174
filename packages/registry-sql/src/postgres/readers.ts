// The connections for reads outside a change: a few, shared by all.

import type { CompiledQuery } from 'kysely';
import type { Executor } from '../executor.ts';
import type { PostgresAddress } from './address.ts';
import type { PostgresConnection } from './connection.ts';
import { closed, Link } from './link.ts';

/** Connections for reads of one daemon. */
const maxReaders = 4;

export class Readers implements Executor {
  readonly #address: PostgresAddress;
  readonly #onOpen: (connection: PostgresConnection) => Promise<void>;
  readonly #idle: Link[] = [];
  readonly #waiting: ((link: Link) => void)[] = [];
  #count = 0;
  readonly #all: Link[] = [];
  #isClosed = false;
  readonly #running = new Set<Promise<unknown>>();

  /** @param onOpen checks each new connection. */
  constructor(address: PostgresAddress, onOpen: (connection: PostgresConnection) => Promise<void>) {
    this.#address = address;
    this.#onOpen = onOpen;
  }

  async all<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
    if (this.#isClosed) throw closed();
    return this.#tracked(this.#use((connection) => connection.all(query)));
  }

  async run(): Promise<number> {
    throw new TypeError('a change needs a transaction');
  }

  /** Refuses new reads, and waits for the earlier ones. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([...this.#running]);
    await Promise.all(this.#all.map((link) => link.close()));
  }

  async #tracked<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  async #use<T>(read: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    const link = await this.#take();
    try {
      const connection = await link.get();
      try {
        return await read(connection);
      } catch (error) {
        // The connection ended while it was unused, so the read can be repeated.
        if (!connection.isBroken) throw error;
        return await read(await link.get());
      }
    } finally {
      const next = this.#waiting.shift();
      if (next) next(link);
      else this.#idle.push(link);
    }
  }

  async #take(): Promise<Link> {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#count < maxReaders) {
      this.#count += 1;
      const link = new Link({ address: this.#address, onOpen: this.#onOpen });
      this.#all.push(link);
      return link;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
