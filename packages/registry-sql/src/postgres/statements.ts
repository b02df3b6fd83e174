// The SQL that only PostgreSQL needs. All other SQL is in ../statements.ts.

import { Kysely, PostgresDialect, sql } from 'kysely';
import { prepared } from '../executor.ts';
import type {
  DaemonsTable,
  DueWorkTable,
  PostgresLedgerTable,
  PostgresTables,
  RevocationListsTable,
  SecretsTable,
} from './tables.ts';

export type FleetStatements = ReturnType<typeof fleetStatements>;

/**
 * The first statement of every transaction. It orders the transactions.
 * @param seen number of a row of the audit whose hash is wanted too.
 */
export const beginAndLock = (seen: number) =>
  'begin isolation level read committed read write;' +
  ' select event_seq, audit_seq, audit_hash, revocation_seq, moved_by, pg_current_xact_id()::text as transaction,' +
  ` (select hash from audit where seq = ${seen}) as seen_hash from ledger for update`;

/** The clock of the database, which all daemons share, ms since 1970. */
export const serverNow = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;
const before = (ms: number) => sql<number>`${serverNow} - ${ms}::bigint`;
const after = (ms: number) => sql<number>`${serverNow} + ${ms}::bigint`;

/** Kysely compiles these statements and never executes them. */
export const compiler = new Kysely<PostgresTables>({
  dialect: new PostgresDialect({ pool: () => Promise.reject(new Error('it only compiles')) }),
});

type MovedLedger = Pick<PostgresLedgerTable, 'event_seq' | 'audit_seq' | 'audit_hash' | 'revocation_seq'>;

type Published = MovedLedger & {
  readonly seqs: readonly number[];
  readonly daemon: string;
  readonly bodies: readonly string[];
};

/** Moves the ledger and adds events, before a last select. */
const publishing = (values: Published) =>
  compiler
    .with('moved', (one) =>
      one.updateTable('ledger').set({
        event_seq: values.event_seq,
        audit_seq: values.audit_seq,
        audit_hash: values.audit_hash,
        revocation_seq: values.revocation_seq,
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
              serverNow.as('at'),
              sql<string>`${values.daemon}::text`.as('daemon'),
              sql<string>`each.body`.as('body'),
            ]),
        ),
    );

export function fleetStatements() {
  const db = compiler;
  return {
    /** Together with the hash of a row that this daemon has seen. */
    head: prepared((values: { seen: number }) =>
      db
        .selectFrom('ledger')
        .leftJoin('audit', (join) => join.on('audit.seq', '=', values.seen))
        .select(['event_seq', 'audit_seq', 'audit_hash', 'moved_by', 'audit.hash as seen_hash']),
    ),
    auditHash: prepared((values: { seq: number }) =>
      db.selectFrom('audit').select('hash').where('seq', '=', values.seq),
    ),
    moveHead: prepared((values: MovedLedger) => db.updateTable('ledger').set(values)),
    eventsAfter: prepared((values: { seq: number; limit: number }) =>
      db
        .selectFrom('events')
        .select(['seq', 'at', 'daemon', 'body'])
        .where('seq', '>', values.seq)
        .orderBy('seq')
        .limit(values.limit),
    ),
    // The last statement of a transaction with events: notifications are sent by its commit.
    publishAndNotify: prepared((values: Published) =>
      publishing(values).selectNoFrom(sql`pg_notify('palyra_events', '')`.as('told')),
    ),
    publish: prepared((values: Published) => publishing(values).selectNoFrom(sql`1`.as('told'))),
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
    putDaemon: prepared((row: Omit<DaemonsTable, 'seen_at'>) =>
      db
        .insertInto('daemons')
        .values({ ...row, seen_at: serverNow })
        .onConflict((conflict) =>
          conflict.column('id').doUpdateSet({
            version: row.version,
            endpoints: row.endpoints,
            names: row.names,
            started_at: row.started_at,
            about: row.about,
            seen_at: serverNow,
          }),
        ),
    ),
    daemons: prepared((_: object) =>
      db
        .selectFrom('daemons')
        .select(['id', 'version', 'endpoints', 'names', 'started_at', 'seen_at', 'about'])
        .select(sql<number>`${serverNow} - seen_at`.as('silent'))
        .orderBy('id'),
    ),
    forgetDaemon: prepared((values: { id: string; ms: number }) =>
      db.deleteFrom('daemons').where('id', '=', values.id).where('seen_at', '<', before(values.ms)),
    ),
    didWork: prepared((row: Omit<DueWorkTable, 'at'>) =>
      db
        .insertInto('due_work')
        .values({ ...row, at: serverNow })
        .onConflict((conflict) => conflict.column('what').doUpdateSet({ daemon: row.daemon, at: serverNow })),
    ),
    dueWork: prepared((_: object) =>
      db.selectFrom('due_work').select(['what', 'daemon', 'at']).orderBy('what'),
    ),
    othersSeen: prepared((values: { daemon: string; ms: number }) =>
      db
        .selectFrom('daemons')
        .select(['id', 'endpoints', sql<number>`${serverNow} - seen_at`.as('ago')])
        .where('id', '!=', values.daemon)
        .where('seen_at', '>', before(values.ms))
        .orderBy('seen_at', 'desc'),
    ),
    forgetDaemons: prepared((values: { ms: number }) =>
      db.deleteFrom('daemons').where('seen_at', '<', before(values.ms)),
    ),
    forgetEvents: prepared((values: { ms: number }) =>
      db.deleteFrom('events').where('at', '<', before(values.ms)),
    ),
    rate: prepared((values: { key: string }) =>
      db
        .selectFrom('rates')
        .select(['count', sql<number>`ends_at - ${serverNow}`.as('left')])
        .where('key', '=', values.key)
        .where('ends_at', '>', serverNow),
    ),
    countRate: prepared((values: { key: string; ms: number }) =>
      db
        .insertInto('rates')
        .values({ key: values.key, count: 1, ends_at: after(values.ms) })
        .onConflict((conflict) =>
          conflict.column('key').doUpdateSet({
            count: sql<number>`case when rates.ends_at > ${serverNow} then rates.count + 1 else 1 end`,
            ends_at: sql<number>`case when rates.ends_at > ${serverNow} then rates.ends_at else excluded.ends_at end`,
          }),
        )
        .returning(['count', sql<number>`ends_at - ${serverNow}`.as('left')]),
    ),
    forgetRates: prepared((_: object) => db.deleteFrom('rates').where('ends_at', '<=', serverNow)),
    // One row: the ledger has one.
    listHead: prepared((values: { issuer_id: string }) =>
      db
        .selectFrom('ledger')
        .leftJoin('revocation_lists as l', (join) => join.on('l.issuer_id', '=', values.issuer_id))
        .select([
          'ledger.revocation_seq as epoch',
          'l.number',
          'l.revocation_seq',
          'l.remake_at',
          'l.next_update',
        ]),
    ),
    list: prepared((values: { issuer_id: string }) =>
      db
        .selectFrom('revocation_lists')
        .select(['issuer_id', 'number', 'revocation_seq', 'remake_at', 'next_update', 'der'])
        .where('issuer_id', '=', values.issuer_id),
    ),
    putList: prepared((row: RevocationListsTable) =>
      db
        .insertInto('revocation_lists')
        .values(row)
        .onConflict((conflict) =>
          conflict
            .column('issuer_id')
            .doUpdateSet((list) => ({
              number: list.ref('excluded.number'),
              revocation_seq: list.ref('excluded.revocation_seq'),
              remake_at: list.ref('excluded.remake_at'),
              next_update: list.ref('excluded.next_update'),
              der: list.ref('excluded.der'),
            }))
            .whereRef('excluded.number', '>', 'revocation_lists.number'),
        ),
    ),
    transactionState: prepared((values: { id: string }) =>
      db.selectNoFrom(sql<string | null>`pg_xact_status(${values.id}::xid8)`.as('state')),
    ),
  };
}
