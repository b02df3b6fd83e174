// Fills a registry in PostgreSQL with devices for measurements, like seed.ts.

import { parsePostgresUrl } from '../postgres/address.ts';
import { PostgresConnection } from '../postgres/connection.ts';
import { seededDevice, seededRows } from './seed.ts';

const batch = 5_000;

/** Adds devices 1 to `count` to a database with an authority. Sends no events. */
export async function seedPostgres(url: string, count: number): Promise<void> {
  const connection = await PostgresConnection.open(await parsePostgresUrl(url), { statementMs: 600_000 });
  try {
    const [issuing] = await connection.execute("select id from authorities where tier = 'issuing'");
    const notBefore = new Date();
    await connection.execute('set synchronous_commit = off');
    for (let from = 1; from <= count; from += batch) {
      const rows = Array.from({ length: Math.min(batch, count - from + 1) }, (_, index) =>
        seededRows(seededDevice(from + index), String(issuing?.id) as never, notBefore),
      );
      for (const [table, values] of [
        ['devices', rows.map(({ device }) => device)],
        ['certificates', rows.map(({ certificate }) => certificate)],
      ] as const)
        await connection.query(
          `insert into ${table} select * from json_populate_recordset(null::${table}, $1::json)`,
          [JSON.stringify(values, asPostgresWritesIt)],
        );
    }
    await connection.query('update ledger set devices = devices + $1', [count]);
  } finally {
    await connection.close();
  }
}

function asPostgresWritesIt(this: unknown, name: string, value: unknown): unknown {
  // A Buffer's own toJSON has run before this function.
  const given = (this as Record<string, unknown>)[name];
  return given instanceof Uint8Array ? `\\x${Buffer.from(given).toString('hex')}` : value;
}
