// A migration that only adds, as the next version may have one.

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** A column with an index in every table, and a new table. */
export const addToAll: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`
      do $$
      declare name text;
      begin
        for name in select tablename from pg_tables
          where schemaname = 'public' and tablename not like 'kysely%'
        loop
          execute format('alter table %I add column added text not null default %L', name, 'by the next version');
          execute format('create index %I on %I (added)', name || '_added', name);
        end loop;
      end $$`.execute(db);
    await db.schema
      .createTable('added_table')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .execute();
  },
};
