// One connection to PostgreSQL. Statements run one after the other, in the order of the calls, and each is prepared once.

import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import type { CompiledQuery } from 'kysely';
import { Client, type QueryResult } from 'pg';
import type { PostgresAddress } from './address.ts';
import { ConnectionLost, sqlState, storeError, unreachable } from './store-error.ts';

const connectMs = 5_000;
const statementMs = 10_000;
/** Longest wait for an answer after the server should have ended the statement, ms: the network may swallow the answer. */
const answerMs = 5_000;

/** For what a connection is used. */
export interface SessionOptions {
  /** A transaction that waits longer for its next statement is ended by the server, ms. */
  readonly idleInTransactionMs?: number;
  /** Longest wait for a lock, ms. */
  readonly lockMs?: number;
  /** Longest time of a statement, ms. */
  readonly statementMs?: number;
}

export type Row = Record<string, unknown>;

export class PostgresConnection {
  /** The database, for messages. */
  readonly name: string;
  /** The number of warnings from the server so far. */
  warnings = 0;
  readonly #client: Client;
  readonly #answerMs: number;
  readonly #names = new Map<string, string>();
  #last: Promise<unknown> = Promise.resolve();
  #broken: Error | undefined;
  readonly #ended = Promise.withResolvers<void>();

  /** @throws STORE_UNREACHABLE, STORE_PERMISSIONS, STORE_FAILED, like every method. */
  static async open(address: PostgresAddress, session: SessionOptions = {}): Promise<PostgresConnection> {
    const client = new Client({ ...address.client, connectionTimeoutMillis: connectMs, types });
    const connection = new PostgresConnection(address.name, client, session);
    try {
      await client.connect();
      await connection.#setUp(session);
      return connection;
    } catch (error) {
      connection.#break(error);
      if (error instanceof IdentityError || sqlState(error)) throw storeError(error, address.name);
      // Whatever answered, it is not the database, or did not prove to be.
      throw unreachable(address.name, reasonOf(error), error);
    }
  }

  private constructor(name: string, client: Client, session: SessionOptions) {
    this.name = name;
    this.#answerMs = (session.statementMs ?? statementMs) + answerMs;
    this.#client = client;
    client.on('error', (error) => this.#break(error));
    // No less than warnings are sent.
    client.on('notice', () => {
      this.warnings += 1;
    });
    client.on('end', () => {
      this.#break(new Error('the server closed the connection'));
      this.#ended.resolve();
    });
  }

  /** Whether nothing can be asked any more. */
  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** Resolves when the connection has ended, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async all<R>(query: CompiledQuery<R>): Promise<R[]> {
    return (await this.#ask(this.#prepared(query))).rows as R[];
  }

  /** Returns the number of changed rows. */
  async run(query: CompiledQuery): Promise<number> {
    return (await this.#ask(this.#prepared(query))).rowCount ?? 0;
  }

  /** Runs one or more statements without values. @returns the rows of the last one. */
  async execute(text: string): Promise<Row[]> {
    const results = (await this.#ask(text)) as QueryResult<Row> | QueryResult<Row>[];
    return (Array.isArray(results) ? results.at(-1)?.rows : results.rows) ?? [];
  }

  /** @param listener called with the payload of each notification on this connection. */
  onNotification(listener: (payload: string) => void): void {
    this.#client.on('notification', ({ payload }) => listener(payload ?? ''));
  }

  /** For Kysely, which runs the migrations. */
  async query(text: string, values: readonly unknown[]): Promise<QueryResult<Row>> {
    return this.#ask({ text, values: [...values] });
  }

  async close(): Promise<void> {
    await this.#last;
    if (this.isBroken) return;
    this.#broken = new Error('it was closed');
    await this.#client.end().catch(() => {});
  }

  /** Ends it at once, whatever it is doing. */
  destroy(): void {
    this.#break(new Error('it was closed'));
  }

  #prepared(query: CompiledQuery): { name: string; text: string; values: unknown[] } {
    let name = this.#names.get(query.sql);
    if (name === undefined) {
      name = `p${this.#names.size}`;
      this.#names.set(query.sql, name);
    }
    return { name, text: query.sql, values: query.parameters.map(toDriver) };
  }

  #ask(query: string | { name?: string; text: string; values: unknown[] }): Promise<QueryResult<Row>> {
    const answered = this.#last.then(() => this.#answer(query));
    this.#last = answered.catch(() => {});
    return answered;
  }

  async #answer(
    query: string | { name?: string; text: string; values: unknown[] },
  ): Promise<QueryResult<Row>> {
    if (this.#broken) throw storeError(new ConnectionLost(this.#broken), this.name);
    const timer = setTimeout(() => this.#break(new Error('no answer came')), this.#answerMs);
    timer.unref();
    try {
      return await this.#client.query(query as string);
    } catch (error) {
      // The server ends some sessions with an error, and closes the connection a moment later.
      if (endsSession(error)) this.#break(error);
      throw storeError(this.#broken ? new ConnectionLost(this.#broken) : error, this.name);
    } finally {
      clearTimeout(timer);
    }
  }

  async #setUp(session: SessionOptions): Promise<void> {
    const settings = {
      search_path: 'public',
      statement_timeout: session.statementMs ?? statementMs,
      lock_timeout: session.lockMs ?? statementMs,
      idle_in_transaction_session_timeout: session.idleInTransactionMs ?? statementMs,
      default_transaction_isolation: "'read committed'",
      default_transaction_read_only: 'off',
    };
    const [row = {}] = await this.execute(
      [
        ...Object.entries(settings).map(([name, value]) => `set ${name} = ${value}`),
        // What is acknowledged is on the disk. Stricter settings stay.
        "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') in ('off', 'local')",
        "select pg_is_in_recovery() as standby, current_setting('fsync') as fsync, current_setting('server_encoding') as encoding",
      ].join(';'),
    );
    if (row.standby) throw unreachable(this.name, 'it is a standby. The URL must lead to the primary');
    if (row.fsync !== 'on')
      throw new IdentityError(
        'STORE_FAILED',
        `The database ${this.name} does not write to the disk: its setting fsync is off. Set it to on.`,
      );
    if (row.encoding !== 'UTF8')
      throw new IdentityError(
        'STORE_FAILED',
        `The database ${this.name} has the encoding ${row.encoding}. Create one with UTF8.`,
      );
  }

  #break(error: unknown): void {
    if (this.#broken) return;
    this.#broken = error instanceof Error ? error : new Error('the connection broke', { cause: error });
    // With a query that runs, this destroys the socket; it cannot fail in a way that matters.
    this.#client.end().catch(() => {});
    this.#ended.resolve();
  }
}

/** FATAL and PANIC end the session. */
function endsSession(error: unknown): boolean {
  const { severity } = error as { readonly severity?: unknown };
  return severity === 'FATAL' || severity === 'PANIC';
}

function toDriver(value: unknown): unknown {
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value;
}

const bigint = 20;
const bytea = 17;
const asText = (text: string) => text;

/** Whole numbers as numbers, bytes as bytes, and all else as the text that the server sends. */
const types = {
  getTypeParser(type: number, format?: string): (value: never) => unknown {
    if (format === 'binary') return asText as (value: never) => unknown;
    const parse = parsers[type] ?? asText;
    return parse as (value: never) => unknown;
  },
};

const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [bigint]: Number,
  23: Number,
  21: Number,
  16: (text) => text === 't',
  [bytea]: (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex')),
};
