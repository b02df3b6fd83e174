// Moves the registry and the secrets of a stopped daemon from its home into an empty database. Everything is one transaction,
// which is committed only after the copy was verified.

import { createHash } from 'node:crypto';
import { IdentityError, verifyAudit } from '@palyra/identity';
import { type MasterKey, recordLabel, type SecretName, sealRecord } from '@palyra/identity/keys';
import { describeDifference, type RegistryReader } from '@palyra/identity/registry';
import { type CompiledQuery, Kysely, PostgresDialect, SqliteDialect, sql } from 'kysely';
import type { Executor } from '../executor.ts';
import { SqlReads } from '../reads.ts';
import type { SqliteConnection } from '../sqlite/connection.ts';
import { mustBeWritten, withReadOnly } from '../sqlite/read-only.ts';
import { SqliteReader } from '../sqlite/reader.ts';
import { statementsFor } from '../statements.ts';
import type { Tables } from '../tables.ts';
import { parsePostgresUrl } from './address.ts';
import { PostgresConnection } from './connection.ts';
import { prepareDatabase } from './open.ts';
import { markMasterKey } from './secret-store.ts';

export interface MoveOptions {
  /** The registry in a file, of a daemon that is stopped. */
  readonly path: string;
  /** The database. */
  readonly url: string;
  /** The key that all daemons of the fleet will have. */
  readonly masterKey: MasterKey;
  /** Every secret of the home, in the clear. */
  readonly secrets: ReadonlyMap<SecretName, Uint8Array>;
}

export interface Moved {
  /** The last row of the audit. */
  readonly seq: number;
  readonly hash: string;
  readonly devices: number;
  readonly certificates: number;
  /** An earlier attempt had copied everything already. */
  readonly wasThere: boolean;
}

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

const page = 500;
/** A whole registry is checked in one statement or two. */
const statementMs = 60 * 60_000;

/**
 * Copies everything, and verifies the copy: the audit chain and the tables on both sides, and each row.
 * @throws MESSAGE_INVALID for a database that is not empty; AUDIT_BROKEN naming what differs; errors of both stores. Then
 *   nothing was changed.
 */
export async function moveIntoPostgres(options: MoveOptions): Promise<Moved> {
  const { path, url } = options;
  const address = await parsePostgresUrl(url);
  const connection = await PostgresConnection.open(address, {
    statementMs,
    idleInTransactionMs: statementMs,
  });
  try {
    await prepareDatabase(connection);
    return await withReadOnly(path, async (file) => {
      mustBeWritten(file, path);
      return copy(file, connection, options);
    });
  } finally {
    await connection.close();
  }
}

async function copy(
  file: SqliteConnection,
  connection: PostgresConnection,
  options: MoveOptions,
): Promise<Moved> {
  const from = readerOn(file);
  await mustVerify(from, 'The registry in the file');
  const head = await from.auditHead();
  const { devices } = await from.counts();
  await connection.execute('begin; select * from ledger for update');
  try {
    const to = new TargetReader(connection);
    const present = await to.auditHead();
    const wasThere = present.seq === head.seq && present.hash === head.hash;
    if (!wasThere && (present.seq > 0 || (await to.setting('daemon_id')) !== undefined))
      throw notEmpty(connection.name);
    if (!wasThere) {
      for (const table of Object.keys(tables) as (keyof typeof tables)[])
        for (const rows of pagesOf(file, table)) await insert(connection, table, rows);
      await connection.query(
        `update ledger set devices = $1, audit_seq = $2, audit_hash = $3,
           revocation_seq = (select count(*) from revocations)`,
        [devices, head.seq, head.hash],
      );
      await putSecrets(connection, options);
    }
    await mustVerify(to, 'The copy in the database');
    const differing = await differingTables(file, connection);
    if (differing.length > 0)
      throw new IdentityError(
        'AUDIT_BROKEN',
        `The copy in the database ${connection.name} differs: ${differing.join(', ')}. Nothing was changed.`,
      );
    const [row] = await connection.execute('select count(*) as certificates from certificates');
    await connection.execute('commit');
    return { ...head, devices, certificates: Number(row?.certificates), wasThere };
  } catch (error) {
    await connection.execute('rollback').catch(() => connection.destroy());
    throw error;
  }
}

type Raw = Readonly<Record<string, unknown>>;

const sqliteCompiler = new Kysely<Tables>({
  dialect: new SqliteDialect({ database: () => Promise.reject(new Error('it only compiles')) }),
});
const postgresCompiler = new Kysely<Tables>({
  dialect: new PostgresDialect({ pool: () => Promise.reject(new Error('it only compiles')) }),
});

function readerOn(file: SqliteConnection): RegistryReader {
  return new SqliteReader(file, statementsFor(sqliteCompiler));
}

class TargetReader extends SqlReads implements RegistryReader {
  constructor(connection: PostgresConnection) {
    const executor: Executor = {
      all: (query) => connection.all(query),
      run: () => Promise.reject(new TypeError('a reader cannot change anything')),
    };
    super(executor, statementsFor(postgresCompiler));
  }

  async close(): Promise<void> {}
}

/** Every row of the table, in its order. */
function* pagesOf(file: SqliteConnection, table: keyof typeof tables): Iterable<readonly Raw[]> {
  const [key] = tables[table];
  if (!key) {
    const rows = file.all(rowsOf(sqliteCompiler, table, undefined));
    for (let at = 0; at < rows.length; at += page) yield rows.slice(at, at + page);
    return;
  }
  for (let after: unknown; ; ) {
    const rows = file.all(rowsOf(sqliteCompiler, table, { key, after }));
    if (rows.length > 0) yield rows;
    if (rows.length < page) return;
    after = rows.at(-1)?.[key];
  }
}

function rowsOf(
  compiler: Kysely<Tables>,
  table: keyof typeof tables,
  from: { readonly key: string; readonly after: unknown } | undefined,
): CompiledQuery<Raw> {
  let query = compiler.selectFrom(table as 'devices').selectAll();
  if (from) {
    query = query.orderBy(sql.ref(from.key)).limit(page);
    if (from.after !== undefined) query = query.where(sql.ref(from.key), '>', from.after);
  }
  return query.compile() as unknown as CompiledQuery<Raw>;
}

async function insert(
  connection: PostgresConnection,
  table: keyof typeof tables,
  rows: readonly Raw[],
): Promise<void> {
  const { sql: text, parameters } = postgresCompiler
    .insertInto(table as 'devices')
    .values(rows as never)
    .compile();
  await connection.query(text, parameters);
}

async function putSecrets(
  connection: PostgresConnection,
  { masterKey, secrets }: MoveOptions,
): Promise<void> {
  await markMasterKey(connection, masterKey);
  const labelOf = recordLabel(masterKey);
  for (const [name, secret] of secrets)
    await connection.query('insert into secrets (key_id, name_mac, record) values ($1, $2, $3)', [
      masterKey.id,
      labelOf(name),
      Buffer.from(sealRecord(masterKey, name, secret)),
    ]);
}

/** Compares each row of each table. @returns the names of tables that differ. */
async function differingTables(file: SqliteConnection, connection: PostgresConnection): Promise<string[]> {
  const differing: string[] = [];
  for (const table of Object.keys(tables) as (keyof typeof tables)[]) {
    const [here, there] = [createHash('sha256'), createHash('sha256')];
    if (tables[table].length === 0) {
      // Rows without a key: in the order of their texts, because databases sort missing values differently.
      for (const text of file
        .all(rowsOf(sqliteCompiler, table, undefined))
        .map(textOf)
        .sort())
        here.update(text);
      const copied = await connection.all(rowsOf(postgresCompiler, table, undefined));
      for (const text of copied.map(textOf).sort()) there.update(text);
    } else {
      for (const rows of pagesOf(file, table)) for (const row of rows) here.update(textOf(row));
      for await (const row of targetRows(connection, table)) there.update(textOf(row));
    }
    if (here.digest('hex') !== there.digest('hex')) differing.push(table);
  }
  return differing;
}

async function* targetRows(connection: PostgresConnection, table: keyof typeof tables): AsyncIterable<Raw> {
  const [key = ''] = tables[table];
  for (let after: unknown; ; ) {
    const rows = await connection.all(rowsOf(postgresCompiler, table, { key, after }));
    yield* rows;
    if (rows.length < page) return;
    after = rows.at(-1)?.[key];
  }
}

/** A row as one text, whatever the order of its columns. */
function textOf(row: Raw): string {
  const cells = Object.keys(row)
    .sort()
    .map((name) => {
      const value = row[name];
      return [name, value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value];
    });
  return `${JSON.stringify(cells)}\n`;
}

async function mustVerify(registry: RegistryReader, what: string): Promise<void> {
  const verdict = await verifyAudit(registry);
  if (verdict.ok) return;
  const found = verdict.differences.slice(0, 3).map(describeDifference);
  throw new IdentityError(
    'AUDIT_BROKEN',
    `${what} does not verify: ${found.length > 0 ? found.join('; ') : verdict.problem}. Nothing was changed.`,
  );
}

function notEmpty(name: string): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `The database ${name} has a registry already, and it is not this one. Nothing was changed. Name an empty database.`,
    { about: 'registry' },
  );
}
