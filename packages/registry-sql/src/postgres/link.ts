// A connection that is reopened after it has broken.

import { IdentityError } from '@palyra/identity';
import type { PostgresAddress } from './address.ts';
import { PostgresConnection, type SessionOptions } from './connection.ts';

export interface LinkOptions {
  readonly address: PostgresAddress;
  readonly session?: SessionOptions;
  /** Called with each new connection before its first use. */
  readonly onOpen?: (connection: PostgresConnection) => Promise<void>;
}

export class Link {
  readonly #options: LinkOptions;
  #connection: PostgresConnection | undefined;
  #opening: Promise<PostgresConnection> | undefined;
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** The open connection; opens one if there is none. @throws STORE_UNREACHABLE and other errors of the database. */
  get(): Promise<PostgresConnection> {
    if (this.#closed) return Promise.reject(closed());
    if (this.#connection && !this.#connection.isBroken) return Promise.resolve(this.#connection);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<PostgresConnection> {
    const { address, session, onOpen } = this.#options;
    const connection = await PostgresConnection.open(address, session);
    try {
      await onOpen?.(connection);
      if (this.#closed) throw closed();
    } catch (error) {
      connection.destroy();
      throw error;
    }
    this.#connection = connection;
    return connection;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => {});
    await this.#connection?.close();
  }
}

export function closed(): IdentityError {
  return new IdentityError('STORE_FAILED', 'The registry is closed, because its program is stopping.');
}
