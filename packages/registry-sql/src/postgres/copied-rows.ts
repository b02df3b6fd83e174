// Copies the rows of a registry from one database into another, and compares both sides.

import { createHash } from 'node:crypto';
import { type CompiledQuery, Kysely, PostgresDialect, SqliteDialect, sql } from 'kysely';
import { columns } from '../columns.ts';
import type { SqliteConnection } from '../sqlite/connection.ts';
import type { Tables } from '../tables.ts';
import type { PostgresConnection } from './connection.ts';

/** In an order in which each row finds the rows that it refers to. With the columns that order them, which name each row. */
const tables = {
  devices: ['id'],
  authorities: ['id'],
  certificates: ['serial'],
  pairings: ['id'],
  // Without a key: read as a whole.
  revocations: [],
  audit: ['seq'],
  settings: ['name'],
} as const satisfies Record<Exclude<keyof Tables, 'ledger'>, readonly string[]>;

type TableName = keyof typeof tables;
const tableNames = Object.keys(tables) as TableName[];

const page = 500;

export type CopiedRow = Readonly<Record<string, unknown>>;

/** A database with the tables of a registry. */
export interface CopySide {
  readonly compiler: Kysely<Tables>;
  all<Row>(query: CompiledQuery<Row>): Promise<Row[]>;
  run(query: CompiledQuery): Promise<unknown>;
}

export const sqliteCompiler = new Kysely<Tables>({
  dialect: new SqliteDialect({ database: () => Promise.reject(new Error('it only compiles')) }),
});
export const postgresCompiler = new Kysely<Tables>({
  dialect: new PostgresDialect({ pool: () => Promise.reject(new Error('it only compiles')) }),
});

export function sqliteSide(file: SqliteConnection): CopySide {
  return {
    compiler: sqliteCompiler,
    all: async (query) => file.all(query),
    run: async (query) => file.run(query),
  };
}

export function postgresSide(connection: PostgresConnection): CopySide {
  return {
    compiler: postgresCompiler,
    all: (query) => connection.all(query),
    // Not prepared, because the number of rows in a statement varies.
    run: ({ sql: text, parameters }) => connection.query(text, parameters),
  };
}

/** Copies every row. @param signal ends the work with its reason. */
export async function copyRows(from: CopySide, to: CopySide, signal?: AbortSignal): Promise<void> {
  for (const table of tableNames)
    for await (const rows of pagesOf(from, table)) {
      signal?.throwIfAborted();
      await to.run(
        to.compiler
          .insertInto(table as 'devices')
          .values(rows as never)
          .compile(),
      );
    }
}

/** Compares each row of each table. @returns the names of tables that differ. */
export async function differingTables(here: CopySide, there: CopySide): Promise<TableName[]> {
  const differing: TableName[] = [];
  for (const table of tableNames)
    if ((await digestOf(here, table)) !== (await digestOf(there, table))) differing.push(table);
  return differing;
}

/** Every row of the table, in its order. */
async function* pagesOf(side: CopySide, table: TableName): AsyncIterable<readonly CopiedRow[]> {
  const [key] = tables[table];
  if (!key) {
    const rows = await side.all(rowsOf(side, table, undefined));
    for (let at = 0; at < rows.length; at += page) yield rows.slice(at, at + page);
    return;
  }
  for (let after: unknown; ; ) {
    const rows = await side.all(rowsOf(side, table, { key, after }));
    if (rows.length > 0) yield rows;
    if (rows.length < page) return;
    after = rows.at(-1)?.[key];
  }
}

function rowsOf(
  { compiler }: CopySide,
  table: TableName,
  from: { readonly key: string; readonly after: unknown } | undefined,
): CompiledQuery<CopiedRow> {
  let query = compiler.selectFrom(table as 'devices').select(columns[table] as typeof columns.devices);
  if (from) {
    query = query.orderBy(sql.ref(from.key)).limit(page);
    if (from.after !== undefined) query = query.where(sql.ref(from.key), '>', from.after);
  }
  return query.compile() as unknown as CompiledQuery<CopiedRow>;
}

async function digestOf(side: CopySide, table: TableName): Promise<string> {
  const hash = createHash('sha256');
  if (tables[table].length > 0) {
    for await (const rows of pagesOf(side, table)) for (const row of rows) hash.update(textOf(row));
    return hash.digest('hex');
  }
  // Rows without a key: in the order of their texts, because databases sort missing values differently.
  const rows = await side.all(rowsOf(side, table, undefined));
  for (const text of rows.map(textOf).sort()) hash.update(text);
  return hash.digest('hex');
}

/** A row as one text, whatever the order of its columns. */
function textOf(row: CopiedRow): string {
  const cells = Object.keys(row)
    .sort()
    .map((name) => {
      const value = row[name];
      return [name, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value];
    });
  return `${JSON.stringify(cells)}\n`;
}
