// A migration that a database may have had is never edited: another database would get other tables by the same name. frozen.json
// has the hash of what each one does, so only its comments may change.

import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import {
  type Dialect,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { Migration } from 'kysely/migration';
import { migrations as postgres } from '../postgres/prepare.ts';
import { migrations as sqlite } from '../sqlite/open.ts';
import frozen from './frozen.json' with { type: 'json' };

const databases: Readonly<Record<keyof typeof frozen, readonly [Record<string, Migration>, Dialect]>> = {
  sqlite: [
    sqlite,
    {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  ],
  postgres: [
    postgres,
    {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  ],
};

/** Of each statement with its values. */
async function hashOf({ up }: Migration, dialect: Dialect): Promise<string> {
  const statements: string[] = [];
  const log = ({
    query,
  }: {
    readonly query: { readonly sql: string; readonly parameters: readonly unknown[] };
  }) => {
    statements.push(JSON.stringify([query.sql, query.parameters]));
  };
  await up(new Kysely({ dialect, log }));
  assert.ok(statements.length > 0);
  return hash('sha256', statements.join('\n'));
}

for (const [database, [migrations, dialect]] of Object.entries(databases))
  test(`the migrations of ${database} do what they did, and a new one comes after them`, async () => {
    const known: Record<string, string> = frozen[database as keyof typeof frozen];
    const names = Object.keys(migrations);
    const present = await Promise.all(
      names.map(async (name) => [name, await hashOf(migrations[name]!, dialect)] as const),
    );
    assert.deepEqual(
      Object.fromEntries(present),
      known,
      'Add a migration instead of editing one, and its hash to frozen.json.',
    );
    assert.deepEqual(names, names.toSorted());
    assert.deepEqual(Object.keys(known), names);
  });
