// The tables that only PostgreSQL has, as types for Kysely.

import type { LedgerTable, Tables } from '../tables.ts';

export interface PostgresTables extends Omit<Tables, 'ledger'> {
  readonly ledger: PostgresLedgerTable;
  readonly events: EventsTable;
  readonly secrets: SecretsTable;
}

export interface PostgresLedgerTable extends LedgerTable {
  /** Number of the last row of `events`. */
  readonly event_seq: number;
}

/** What the daemons tell each other. Rows are numbered without gaps, in the order of the commits. */
export interface EventsTable {
  readonly seq: number;
  readonly at: number;
  /** The daemon that made the change. */
  readonly daemon: string;
  /** JSON (event-body.ts). */
  readonly body: string;
}

export interface SecretsTable {
  /** The id of the master key. */
  readonly key_id: string;
  /** HMAC of the secret's name, hex. */
  readonly name_mac: string;
  readonly record: Uint8Array;
}
