// The SQL that only PostgreSQL needs. All other SQL is in ../statements.ts.

import { Kysely, PostgresDialect, sql } from 'kysely';
import { prepared } from '../executor.ts';
import type { PostgresTables, SecretsTable } from './tables.ts';

export type FleetStatements = ReturnType<typeof fleetStatements>;

/** The first statement of every transaction, and the one that orders them. */
export const beginAndLock =
  'begin isolation level read committed read write;' +
  ' select event_seq, audit_seq, audit_hash, pg_current_xact_id()::text as transaction from ledger for update';

/** They are compiled, never executed, by Kysely. */
export const compiler = new Kysely<PostgresTables>({
  dialect: new PostgresDialect({ pool: () => Promise.reject(new Error('it only compiles')) }),
});

export function fleetStatements() {
  const db = compiler;
  return {
    head: prepared((_: object) => db.selectFrom('ledger').select(['event_seq', 'audit_seq', 'audit_hash'])),
    auditHash: prepared((values: { seq: number }) =>
      db.selectFrom('audit').select('hash').where('seq', '=', values.seq),
    ),
    moveHead: prepared((values: { event_seq: number; audit_seq: number; audit_hash: string }) =>
      db.updateTable('ledger').set(values),
    ),
    eventsAfter: prepared((values: { seq: number; limit: number }) =>
      db.selectFrom('events').selectAll().where('seq', '>', values.seq).orderBy('seq').limit(values.limit),
    ),
    // The last statement of a transaction with events: notifications are sent by its commit.
    publish: prepared(
      (values: {
        event_seq: number;
        audit_seq: number;
        audit_hash: string;
        seqs: readonly number[];
        daemon: string;
        bodies: readonly string[];
      }) =>
        db
          .with('moved', (one) =>
            one.updateTable('ledger').set({
              event_seq: values.event_seq,
              audit_seq: values.audit_seq,
              audit_hash: values.audit_hash,
            }),
          )
          .with('put', (one) =>
            one
              .insertInto('events')
              .columns(['seq', 'at', 'daemon', 'body'])
              .expression(
                one
                  .selectFrom(
                    sql<{
                      seq: number;
                      body: string;
                    }>`unnest(${values.seqs}::bigint[], ${values.bodies}::text[])`.as(sql`each(seq, body)`),
                  )
                  .select([
                    sql<number>`each.seq`.as('seq'),
                    sql<number>`(extract(epoch from now()) * 1000)::bigint`.as('at'),
                    sql<string>`${values.daemon}::text`.as('daemon'),
                    sql<string>`each.body`.as('body'),
                  ]),
              ),
          )
          .selectNoFrom(sql`pg_notify('palyra_events', '')`.as('told')),
    ),
    secret: prepared((values: { key_id: string; name_mac: string }) =>
      db
        .selectFrom('secrets')
        .select('record')
        .where('key_id', '=', values.key_id)
        .where('name_mac', '=', values.name_mac),
    ),
    secrets: prepared((values: { key_id: string }) =>
      db.selectFrom('secrets').select(['name_mac', 'record']).where('key_id', '=', values.key_id),
    ),
    keysOfSecrets: prepared((_: object) => db.selectFrom('secrets').select('key_id').distinct()),
    putSecret: prepared((row: SecretsTable) =>
      db
        .insertInto('secrets')
        .values(row)
        .onConflict((conflict) =>
          conflict.columns(['key_id', 'name_mac']).doUpdateSet({ record: row.record }),
        ),
    ),
    addSecret: prepared((row: SecretsTable) =>
      db
        .insertInto('secrets')
        .values(row)
        .onConflict((conflict) => conflict.columns(['key_id', 'name_mac']).doNothing()),
    ),
    deleteSecret: prepared((values: { key_id: string; name_mac: string }) =>
      db.deleteFrom('secrets').where('key_id', '=', values.key_id).where('name_mac', '=', values.name_mac),
    ),
    transactionState: prepared((values: { id: string }) =>
      db.selectNoFrom(sql<string | null>`pg_xact_status(${values.id}::xid8)`.as('state')),
    ),
  };
}
