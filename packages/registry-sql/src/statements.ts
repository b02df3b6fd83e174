// All SQL of the registry, for every database. Constants use `sql.lit` where a partial index needs to see them.

import type { DevicesQuery } from '@palyra/identity/registry';
import { type Kysely, sql } from 'kysely';
import { columns } from './columns.ts';
import { prepared } from './executor.ts';
import { selectDevices } from './select-devices.ts';
import type {
  AuditTable,
  AuthoritiesTable,
  CertificatesTable,
  DevicesTable,
  LedgerTable,
  PairingsTable,
  RevocationsTable,
  SettingsTable,
  Tables,
} from './tables.ts';

export type Statements = ReturnType<typeof statementsFor>;

export function statementsFor(db: Kysely<Tables>) {
  return {
    standing: prepared((values: { fingerprint: string }) =>
      standings().where('c.fingerprint', '=', values.fingerprint),
    ),
    standingBySerial: prepared((values: { serial: string }) =>
      standings().where('c.serial', '=', values.serial),
    ),

    device: prepared((values: { id: string }) =>
      db.selectFrom('devices').select(columns.devices).where('id', '=', values.id),
    ),
    devices: (query: DevicesQuery) => selectDevices(db, query),
    insertDevice: prepared((row: DevicesTable) => db.insertInto('devices').values(row)),
    // One row for each key in use, in no particular order.
    keyInUse: prepared(
      (values: {
        device_id: string;
        identity_key: Uint8Array;
        tls_key: Uint8Array;
        tls_key_sha256: Uint8Array;
      }) =>
        db
          .selectFrom('devices')
          .select(sql.lit('identity').as('key'))
          .where('identity_key', '=', values.identity_key)
          .where('id', '!=', values.device_id)
          .unionAll(
            db
              .selectFrom('certificates')
              .select(sql.lit('tls').as('key'))
              .where('key_sha256', '=', values.tls_key_sha256),
          )
          .unionAll(
            requestsThatCount()
              .select(sql.lit('identity').as('key'))
              .where('identity_key', '=', values.identity_key)
              .where('device_id', '!=', values.device_id),
          )
          .unionAll(
            requestsThatCount().select(sql.lit('tls').as('key')).where('tls_key', '=', values.tls_key),
          ),
    ),
    countDevice: prepared((_: object) =>
      db.updateTable('ledger').set((ledger) => ({ devices: ledger('devices', '+', 1) })),
    ),
    updateDevice: prepared(({ id, ...row }: DevicesTable) =>
      db.updateTable('devices').set(row).where('id', '=', id),
    ),

    certificateBySerial: prepared((values: { serial: string }) =>
      db.selectFrom('certificates').select(columns.certificates).where('serial', '=', values.serial),
    ),
    certificateByFingerprint: prepared((values: { fingerprint: string }) =>
      db
        .selectFrom('certificates')
        .select(columns.certificates)
        .where('fingerprint', '=', values.fingerprint),
    ),
    certificates: prepared((values: { after: string; limit: number }) =>
      db
        .selectFrom('certificates')
        .select(columns.certificates)
        .where('serial', '>', values.after)
        .orderBy('serial')
        .limit(values.limit),
    ),
    certificatesOf: prepared((values: { device_id: string; limit: number }) =>
      db
        .selectFrom('certificates')
        .select(columns.certificates)
        .where('subject_id', '=', values.device_id)
        .where('subject_kind', '=', sql.lit('device'))
        .orderBy('created_at', 'desc')
        .orderBy('serial', 'desc')
        .limit(values.limit),
    ),
    livingCertificates: prepared((values: { device_id: string }) =>
      db
        .selectFrom('certificates')
        .select(columns.certificates)
        .where('subject_id', '=', values.device_id)
        .where('subject_kind', '=', sql.lit('device'))
        .where('state', 'in', [sql.lit('issued'), sql.lit('active')])
        .orderBy('created_at', 'desc')
        .orderBy('serial', 'desc'),
    ),
    unusedCertificates: prepared((values: { device_id: string }) =>
      db
        .selectFrom('certificates')
        .select(['serial', 'state', 'subject_kind', 'subject_id'])
        .where('subject_id', '=', values.device_id)
        .where('subject_kind', '=', sql.lit('device'))
        // The states of the index certificates_living.
        .where('state', 'in', [sql.lit('issued'), sql.lit('active')])
        .where('state', '=', sql.lit('issued'))
        .orderBy('created_at', 'desc')
        .orderBy('serial', 'desc'),
    ),
    // The ids of devices and daemons differ, so the index alone tells whose certificate it is.
    certificatePace: prepared(
      (values: { device_id: string; before_burst: number; before_unpaced: number }) => {
        const newest = db
          .selectFrom('certificates')
          .where('subject_id', '=', values.device_id)
          .orderBy('created_at', 'desc')
          .limit(1);
        return db.selectNoFrom([
          newest.select('created_at').as('newest_at'),
          newest.select('renew_at').as('renew_at'),
          newest.select('created_at').offset(values.before_burst).as('burst_began_at'),
          newest.select('not_after').offset(values.before_unpaced).as('unpaced_ends_at'),
        ]);
      },
    ),
    revocableCertificates: prepared((values: { device_id: string; now: number; limit: number }) =>
      db
        .selectFrom('certificates')
        .select(columns.certificates)
        .where('subject_id', '=', values.device_id)
        .where('subject_kind', '=', sql.lit('device'))
        .where((where) =>
          where.or([
            where('state', 'in', [sql.lit('issued'), sql.lit('active')]),
            where.and([where('state', '!=', sql.lit('revoked')), where('not_after', '>', values.now)]),
          ]),
        )
        .limit(values.limit),
    ),
    // Integers, so that the quotient is an integer.
    plannedRenewals: prepared((values: { from: number; to: number; step: number }) =>
      db
        .selectFrom('certificates')
        .select(sql<number>`renew_at / cast(${values.step} as bigint)`.as('step'))
        .select((certificates) => certificates.fn.countAll().as('number'))
        .where('renew_at', '>=', values.from)
        .where('renew_at', '<', values.to)
        .groupBy(sql.ref('step')),
    ),
    insertCertificate: prepared((row: CertificatesTable) =>
      db
        .insertInto('certificates')
        .values(row)
        .onConflict((conflict) => conflict.column('key_sha256').doNothing()),
    ),
    moveCertificate: prepared((values: { serial: string; from: string; to: string }) =>
      db
        .updateTable('certificates')
        .set({ state: values.to })
        .where('serial', '=', values.serial)
        .where('state', '=', values.from),
    ),

    planRenewal: prepared((values: { serial: string; renew_at: number }) =>
      db.updateTable('certificates').set({ renew_at: values.renew_at }).where('serial', '=', values.serial),
    ),

    pairing: prepared((values: { id: string }) =>
      db.selectFrom('pairings').select(columns.pairings).where('id', '=', values.id),
    ),
    waitingPairing: prepared((values: { slot: string }) =>
      db
        .selectFrom('pairings')
        .select(columns.pairings)
        .where('slot', '=', values.slot)
        .where('state', '=', sql.lit('waiting')),
    ),
    issuedPairing: prepared((values: { serial: string }) =>
      db
        .selectFrom('pairings')
        .select(columns.pairings)
        .where('serial', '=', values.serial)
        .where('state', '=', sql.lit('issued')),
    ),
    openRequestsOf: prepared((values: { device_id: string }) =>
      db
        .selectFrom('pairings')
        .select(columns.pairings)
        .where('state', 'in', [sql.lit('pending_approval'), sql.lit('approved'), sql.lit('issued')])
        .where('device_id', '=', values.device_id),
    ),
    pairings: (query: { states: readonly string[] | undefined; limit: number }) => {
      let select = db.selectFrom('pairings').select(columns.pairings);
      if (query.states) select = select.where('state', 'in', query.states);
      return select.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(query.limit).compile();
    },
    allPairings: prepared((values: { after: string; limit: number }) =>
      db
        .selectFrom('pairings')
        .select(columns.pairings)
        .where('id', '>', values.after)
        .orderBy('id')
        .limit(values.limit),
    ),
    // Only states that expire have an end. Two searches, each with its own index.
    duePairings: prepared((values: { ended_by: number; made_after: number; limit: number }) =>
      db
        .selectFrom('pairings')
        .select(columns.pairings)
        .where((where) =>
          where.or([
            where.and([
              where('state', 'in', ['waiting', 'pending_approval', 'approved', 'issued']),
              where('expires_at', '<=', values.ended_by),
            ]),
            where.and([where('created_at', '>', values.made_after), where('expires_at', 'is not', null)]),
          ]),
        )
        .orderBy('expires_at')
        .orderBy('id')
        .limit(values.limit),
    ),
    insertPairing: prepared((row: PairingsTable) =>
      db
        .insertInto('pairings')
        .values(row)
        .onConflict((conflict) => conflict.doNothing()),
    ),
    replacePairing: prepared(
      ({ id, previous_revision, ...row }: PairingsTable & { previous_revision: number }) =>
        db.updateTable('pairings').set(row).where('id', '=', id).where('revision', '=', previous_revision),
    ),

    authorities: prepared((_: object) =>
      db.selectFrom('authorities').select(columns.authorities).orderBy('not_before').orderBy('id'),
    ),
    authorityStates: prepared((_: object) =>
      db.selectFrom('authorities').select(['id', 'state']).orderBy('id'),
    ),
    insertAuthority: prepared((row: AuthoritiesTable) => db.insertInto('authorities').values(row)),
    moveAuthority: prepared((values: { id: string; from: string; to: string }) =>
      db
        .updateTable('authorities')
        .set({ state: values.to })
        .where('id', '=', values.id)
        .where('state', '=', values.from),
    ),
    // If the time of a revocation is unknown, the list treats the certificate as never valid.
    revokedCertificates: prepared(
      (values: { issuer_id: string; not_after: number; serial: string; limit: number }) =>
        db
          .selectFrom('certificates as c')
          .select(['c.serial', 'c.not_after'])
          .select((c) =>
            c.fn
              .coalesce(
                c
                  .selectFrom('revocations as r')
                  .select((r) => r.fn.min('r.at').as('at'))
                  .whereRef('r.serial', '=', 'c.serial'),
                'c.created_at',
              )
              .as('at'),
          )
          .where('c.state', '=', sql.lit('revoked'))
          .where('c.issuer_id', '=', values.issuer_id)
          .where((c) =>
            c(c.refTuple('c.not_after', 'c.serial'), '>', c.tuple(values.not_after, values.serial)),
          )
          .orderBy('c.not_after')
          .orderBy('c.serial')
          .limit(values.limit),
    ),
    devicesBehind: prepared((values: { since: number; limit: number }) =>
      db
        .selectFrom('devices as d')
        .select(columns.devices.map((name) => `d.${name}` as const))
        .where('d.state', '!=', sql.lit('revoked'))
        .where((where) =>
          where.not(
            where.exists(
              where
                .selectFrom('certificates as c')
                .select('c.serial')
                .whereRef('c.subject_id', '=', 'd.id')
                .where('c.created_at', '>=', values.since)
                .where('c.state', '=', sql.lit('active')),
            ),
          ),
        )
        // A device that never fetched a certificate has nothing to lose: it gets the present roots with its first one.
        .where((where) =>
          where.or([
            where('d.state', '!=', sql.lit('approved')),
            where('d.last_seen_at', 'is not', null),
            where.exists(
              where
                .selectFrom('certificates as u')
                .select('u.serial')
                .whereRef('u.subject_id', '=', 'd.id')
                .where('u.state', 'in', [sql.lit('issued'), sql.lit('active')]),
            ),
          ]),
        )
        .orderBy('d.id')
        .limit(values.limit),
    ),

    newestCertificateAt: prepared((_: object) =>
      db
        .selectFrom('certificates')
        .select('created_at')
        .where('subject_kind', '=', sql.lit('device'))
        .where('state', 'in', ['issued', 'active'])
        .orderBy('created_at', 'desc')
        .limit(1),
    ),

    revocations: prepared((values: { limit: number }) =>
      db
        .selectFrom('revocations')
        .select(columns.revocations)
        .orderBy('at', 'desc')
        .orderBy('device_id', 'desc')
        .limit(values.limit),
    ),
    revocationsOfDevice: prepared((values: { device_id: string }) =>
      db
        .selectFrom('revocations')
        .select(columns.revocations)
        .where('device_id', '=', values.device_id)
        .where('serial', 'is', null),
    ),
    revocationsOfCertificate: prepared((values: { device_id: string; serial: string }) =>
      db
        .selectFrom('revocations')
        .select(columns.revocations)
        .where('device_id', '=', values.device_id)
        .where('serial', '=', values.serial),
    ),
    insertRevocation: prepared((row: RevocationsTable) => db.insertInto('revocations').values(row)),

    setting: prepared((values: { name: string }) =>
      db.selectFrom('settings').select('value').where('name', '=', values.name),
    ),
    putSetting: prepared((row: SettingsTable) =>
      db
        .insertInto('settings')
        .values(row)
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: row.value })),
    ),

    counts: prepared((_: object) =>
      db
        .selectFrom('ledger')
        .select('devices')
        .select([pairingsIn('pending_approval').as('pending'), pairingsIn('waiting').as('waiting')]),
    ),

    deviceStates: prepared((_: object) =>
      db
        .selectFrom('devices')
        .select('state')
        .select((devices) => devices.fn.countAll().as('number'))
        .groupBy('state'),
    ),

    rowCounts: prepared((_: object) =>
      db.selectFrom('ledger').select([
        db
          .selectFrom('devices')
          .select((devices) => devices.fn.countAll().as('number'))
          .as('devices'),
        db
          .selectFrom('revocations')
          .select((revocations) => revocations.fn.countAll().as('number'))
          .as('revocations'),
      ]),
    ),

    audit: (query: {
      limit: number;
      before?: number;
      subject?: string;
      device?: string;
      action?: string;
      family?: string;
    }) => {
      let select = db.selectFrom('audit').select(columns.audit).orderBy('seq', 'desc').limit(query.limit);
      if (query.before !== undefined) select = select.where('seq', '<', query.before);
      if (query.subject !== undefined) select = select.where('subject', '=', query.subject);
      const { device } = query;
      if (device !== undefined) select = select.where('subject', 'in', subjectsOf(device));
      if (query.action !== undefined) select = select.where('action', '=', query.action);
      if (query.family !== undefined) {
        // As a range, because '_' and '%' mean something else in a pattern. '/' follows '.'.
        select = select.where('action', '>=', `${query.family}.`).where('action', '<', `${query.family}/`);
      }
      return select.compile();
    },
    auditAfter: prepared((values: { seq: number; limit: number }) =>
      db
        .selectFrom('audit')
        .select(columns.audit)
        .where('seq', '>', values.seq)
        .orderBy('seq')
        .limit(values.limit),
    ),
    auditHead: prepared((_: object) => db.selectFrom('ledger').select(['audit_seq', 'audit_hash'])),
    insertAudit: prepared((row: AuditTable) => db.insertInto('audit').values(row)),
    moveAuditHead: prepared((values: Pick<LedgerTable, 'audit_seq' | 'audit_hash'>) =>
      db.updateTable('ledger').set(values),
    ),
  };

  /** What audit rows about a device call their subject. */
  function subjectsOf(device: string) {
    return db
      .selectFrom('certificates')
      .select('serial as subject')
      .where('subject_id', '=', device)
      .unionAll(db.selectFrom('pairings').select('id as subject').where('device_id', '=', device))
      .unionAll(db.selectNoFrom(sql<string>`${device}`.as('subject')));
  }

  function standings() {
    return db
      .selectFrom('certificates as c')
      .leftJoin('devices as d', 'd.id', 'c.subject_id')
      .innerJoin('authorities as a', 'a.id', 'c.issuer_id')
      .select(['c.serial', 'c.subject_kind', 'c.subject_id', 'c.not_before', 'c.not_after', 'c.renew_at'])
      .select(['c.state as certificate_state', 'd.state as device_state', 'd.role as device_role'])
      .select(['d.name as device_name', 'c.issuer_id', 'a.state as issuer_state']);
  }

  /** The requests of devices that wait for the operator or for their certificate. */
  function requestsThatCount() {
    return db.selectFrom('pairings').where('state', 'in', ['pending_approval', 'approved']);
  }

  function pairingsIn(state: string) {
    return db
      .selectFrom('pairings')
      .select((pairings) => pairings.fn.countAll().as('number'))
      .where('state', '=', sql.lit(state));
  }
}
