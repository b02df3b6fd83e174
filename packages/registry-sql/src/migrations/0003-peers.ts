// What the daemons of a fleet must know of each other: which of them has the channel of a device, how they reach each other, and
// which of them did the last due work. PostgreSQL only.

import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { textInBytes as text } from '../postgres/text.ts';

export const peerTables: Migration = {
  async up(db: Kysely<Record<string, Record<string, unknown>>>) {
    await db.schema
      .createTable('channels')
      .addColumn('device_id', text, (column) => column.primaryKey())
      .addColumn('daemon', text, (column) => column.notNull())
      .addColumn('claim', text, (column) => column.notNull())
      .addColumn('replaces', text, (column) => column.notNull())
      .addColumn('agent', text, (column) => column.notNull())
      .addColumn('facts', text, (column) => column.notNull())
      .addColumn('ended', 'boolean', (column) => column.notNull())
      .addColumn('changed_at', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('channels_daemon').on('channels').columns(['daemon', 'ended']).execute();
    await db.schema.createIndex('channels_changed').on('channels').column('changed_at').execute();
    await db.schema
      .createTable('due_work')
      .addColumn('what', text, (column) => column.primaryKey())
      .addColumn('daemon', text, (column) => column.notNull())
      .addColumn('at', 'bigint', (column) => column.notNull())
      .execute();
    // A daemon of the version before does not write it.
    await db.schema
      .alterTable('daemons')
      .addColumn('about', text, (column) => column.notNull().defaultTo('{}'))
      .execute();
  },
};
