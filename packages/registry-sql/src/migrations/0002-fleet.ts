// What several daemons need to share a registry. PostgreSQL only.

import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { textInBytes as text } from '../postgres/text.ts';

export const fleetTables: Migration = {
  async up(db: Kysely<Record<string, Record<string, unknown>>>) {
    await db.schema
      .alterTable('ledger')
      .addColumn('event_seq', 'bigint', (column) => column.notNull().defaultTo(0))
      .execute();
    await db.schema
      .alterTable('ledger')
      .addColumn('revocation_seq', 'bigint', (column) => column.notNull().defaultTo(0))
      .execute();
    await db.schema.alterTable('ledger').addColumn('moved_by', text).execute();
    await db.schema
      .createTable('revocation_lists')
      .addColumn('issuer_id', text, (column) => column.primaryKey())
      .addColumn('number', 'bigint', (column) => column.notNull())
      .addColumn('revocation_seq', 'bigint', (column) => column.notNull())
      .addColumn('remake_at', 'bigint', (column) => column.notNull())
      .addColumn('next_update', 'bigint', (column) => column.notNull())
      .addColumn('der', 'bytea', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('events')
      .addColumn('seq', 'bigint', (column) => column.primaryKey())
      .addColumn('at', 'bigint', (column) => column.notNull())
      .addColumn('daemon', text, (column) => column.notNull())
      .addColumn('body', text, (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('daemons')
      .addColumn('id', text, (column) => column.primaryKey())
      .addColumn('version', text, (column) => column.notNull())
      .addColumn('endpoints', text, (column) => column.notNull())
      .addColumn('names', text, (column) => column.notNull())
      .addColumn('started_at', 'bigint', (column) => column.notNull())
      .addColumn('seen_at', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('rates')
      .addColumn('key', text, (column) => column.primaryKey())
      .addColumn('count', 'bigint', (column) => column.notNull())
      .addColumn('ends_at', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('secrets')
      .addColumn('key_id', text, (column) => column.notNull())
      .addColumn('name_mac', text, (column) => column.notNull())
      .addColumn('record', 'bytea', (column) => column.notNull())
      .addPrimaryKeyConstraint('secrets_name', ['key_id', 'name_mac'])
      .execute();
  },
};
