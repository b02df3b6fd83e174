// The tables that only PostgreSQL has, as types for Kysely.

import type { LedgerTable, Tables } from '../tables.ts';

export interface PostgresTables extends Omit<Tables, 'ledger'> {
  readonly ledger: PostgresLedgerTable;
  readonly events: EventsTable;
  readonly daemons: DaemonsTable;
  readonly secrets: SecretsTable;
  readonly rates: RatesTable;
  readonly revocation_lists: RevocationListsTable;
  readonly channels: ChannelsTable;
  readonly due_work: DueWorkTable;
}

export interface PostgresLedgerTable extends LedgerTable {
  /** Number of the last row of `events`. */
  readonly event_seq: number;
  /** How many revocations there were. */
  readonly revocation_seq: number;
  /** The daemon into whose home the registry was moved. This database serves nobody from then on. */
  readonly moved_by: string | null;
}

/** The newest revocation list of each authority. */
export interface RevocationListsTable {
  readonly issuer_id: string;
  readonly number: number;
  /** `ledger.revocation_seq` before it was made. */
  readonly revocation_seq: number;
  readonly remake_at: number;
  readonly next_update: number;
  readonly der: Uint8Array;
}

/** The events for other daemons. Rows are numbered without gaps, in the order of the commits. */
export interface EventsTable {
  readonly seq: number;
  readonly at: number;
  /** The daemon that made the change. */
  readonly daemon: string;
  /** JSON (event-body.ts). */
  readonly body: string;
}

/** The daemons that share this database. */
export interface DaemonsTable {
  readonly id: string;
  readonly version: string;
  /** A JSON list of strings. */
  readonly endpoints: string;
  /** A JSON list of strings. */
  readonly names: string;
  readonly started_at: number;
  readonly seen_at: number;
  /** JSON (members.ts). */
  readonly about: string;
}

/** Which daemon has, or last had, the channel of a device. */
export interface ChannelsTable {
  readonly device_id: string;
  readonly daemon: string;
  /** This channel, and no earlier or later one. */
  readonly claim: string;
  /** The claim that this one may replace although it had not ended. */
  readonly replaces: string;
  /** The agent on the device. */
  readonly agent: string;
  /** JSON, for the daemons. */
  readonly facts: string;
  readonly ended: boolean;
  readonly changed_at: number;
}

/** Work that one daemon does for all: who did it last. */
export interface DueWorkTable {
  readonly what: string;
  readonly daemon: string;
  readonly at: number;
}

export interface SecretsTable {
  /** The id of the master key; empty for the row that identifies it. */
  readonly key_id: string;
  /** HMAC of the secret's name, hex. */
  readonly name_mac: string;
  readonly record: Uint8Array;
}

/** Counts shared by the daemons, each for a period. */
export interface RatesTable {
  readonly key: string;
  readonly count: number;
  readonly ends_at: number;
}
