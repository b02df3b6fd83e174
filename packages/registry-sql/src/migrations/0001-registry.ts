// The first version, with every table.

import { AUDIT_GENESIS_HASH } from '@palyra/identity/registry';
import { type ColumnDataType, type Kysely, type RawBuilder, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The types whose names differ between databases. */
export interface ColumnTypes {
  readonly bytes: ColumnDataType;
  /** A whole number that is also the primary key. */
  readonly sequence: ColumnDataType;
  /** Text that is compared and sorted by its bytes. */
  readonly text: ColumnDataType | RawBuilder<unknown>;
}

export function registryTables(types: ColumnTypes): Migration {
  return {
    async up(db: Kysely<Record<string, Record<string, unknown>>>) {
      await db.schema
        .createTable('devices')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('identity_key', types.bytes, (column) => column.notNull())
        .addColumn('name', types.text, (column) => column.notNull())
        .addColumn('name_folded', types.text, (column) => column.notNull())
        .addColumn('kind', types.text, (column) => column.notNull())
        .addColumn('platform', types.text, (column) => column.notNull())
        .addColumn('role', types.text, (column) => column.notNull())
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('last_seen_at', 'bigint')
        .addColumn('capabilities', types.text, (column) => column.notNull())
        .addColumn('host_names', types.text, (column) => column.notNull())
        .addColumn('labels', types.text, (column) => column.notNull())
        .addColumn('revocation_reason', types.text)
        .addColumn('clone_seen_at', 'bigint')
        .addColumn('clone_reported_at', 'bigint')
        .addColumn('certificate_revoked_at', 'bigint')
        .addColumn('recovery_asked_at', 'bigint')
        .addColumn('recovery_released_at', 'bigint')
        .execute();
      await db.schema
        .createIndex('devices_standing')
        .on('devices')
        .columns(['id', 'state', 'role', 'name'])
        .execute();

      await db.schema
        .createIndex('devices_identity_key')
        .on('devices')
        .columns(['identity_key', 'id'])
        .execute();

      await db.schema.createIndex('devices_name').on('devices').columns(['name_folded', 'id']).execute();

      await db.schema
        .createTable('authorities')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('tier', types.text, (column) => column.notNull())
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('serial', types.text, (column) => column.notNull().unique())
        .addColumn('fingerprint', types.text, (column) => column.notNull().unique())
        .addColumn('not_before', 'bigint', (column) => column.notNull())
        .addColumn('not_after', 'bigint', (column) => column.notNull())
        .addColumn('der', types.bytes, (column) => column.notNull())
        .execute();

      await db.schema
        .createTable('certificates')
        .addColumn('serial', types.text, (column) => column.primaryKey())
        .addColumn('fingerprint', types.text, (column) => column.notNull().unique())
        .addColumn('key_sha256', types.bytes, (column) => column.notNull().unique())
        .addColumn('subject_kind', types.text, (column) => column.notNull())
        .addColumn('subject_id', types.text, (column) => column.notNull())
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('not_before', 'bigint', (column) => column.notNull())
        .addColumn('not_after', 'bigint', (column) => column.notNull())
        .addColumn('issuer_id', types.text, (column) => column.notNull().references('authorities.id'))
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('renew_at', 'bigint')
        .addColumn('der', types.bytes, (column) => column.notNull())
        .addColumn('recovered', 'integer', (column) => column.notNull())
        .execute();
      // This index and devices_standing hold everything that `standing` reads: two small pages instead of four large
      // ones.
      await db.schema
        .createIndex('certificates_standing')
        .on('certificates')
        .columns(['fingerprint', 'serial', 'subject_kind', 'subject_id', 'state'])
        .columns(['not_before', 'not_after', 'renew_at', 'issuer_id'])
        .execute();
      // Facts of the issuing CA are copied here, because a row of authorities holds a whole certificate.
      await db.schema
        .createIndex('authorities_standing')
        .on('authorities')
        .columns(['id', 'state'])
        .execute();
      await db.schema
        .createIndex('certificates_subject')
        .on('certificates')
        .columns(['subject_id', 'created_at'])
        .execute();
      // The valid certificates of a device: one in use, and a few unused ones.
      await db.schema
        .createIndex('certificates_living')
        .on('certificates')
        .columns(['subject_id', 'created_at', 'serial'])
        .where(sql.ref('state'), 'in', [sql.lit('issued'), sql.lit('active')])
        .execute();
      // The entries of a revocation list, in its order.
      await db.schema
        .createIndex('certificates_revoked')
        .on('certificates')
        .columns(['issuer_id', 'not_after', 'serial', 'created_at'])
        .where(sql.ref('state'), '=', sql.lit('revoked'))
        .execute();
      await db.schema.createIndex('certificates_renewal').on('certificates').column('renew_at').execute();

      await db.schema
        .createTable('pairings')
        .addColumn('id', types.text, (column) => column.primaryKey())
        .addColumn('revision', 'bigint', (column) => column.notNull())
        .addColumn('state', types.text, (column) => column.notNull())
        .addColumn('code_kind', types.text, (column) => column.notNull())
        .addColumn('slot', types.text, (column) => column.notNull())
        .addColumn('created_at', 'bigint', (column) => column.notNull())
        .addColumn('auto_approved_by', types.text)
        .addColumn('guesses_left', 'integer', (column) => column.notNull())
        .addColumn('guesses_taken', 'integer', (column) => column.notNull())
        .addColumn('expires_at', 'bigint')
        .addColumn('sealed_secret', types.bytes)
        .addColumn('serial', types.text)
        .addColumn('reason', types.text)
        .addColumn('device_id', types.text)
        .addColumn('identity_key', types.bytes)
        .addColumn('tls_key', types.bytes)
        .addColumn('name', types.text)
        .addColumn('kind', types.text)
        .addColumn('platform', types.text)
        .addColumn('words', types.text)
        .addColumn('source', types.text)
        .addColumn('continuity', types.text)
        .addColumn('failed_guesses', 'integer')
        .addColumn('sealed_await_key', types.bytes)
        .execute();
      await db.schema
        .createIndex('pairings_waiting_slot')
        .unique()
        .on('pairings')
        .column('slot')
        .where(sql.ref('state'), '=', sql.lit('waiting'))
        .execute();
      await db.schema
        .createIndex('pairings_issued_serial')
        .unique()
        .on('pairings')
        .column('serial')
        .where(sql.ref('state'), '=', sql.lit('issued'))
        .execute();
      await db.schema.createIndex('pairings_state').on('pairings').columns(['state', 'expires_at']).execute();
      await db.schema.createIndex('pairings_device').on('pairings').column('device_id').execute();
      await db.schema.createIndex('pairings_created').on('pairings').columns(['created_at', 'id']).execute();

      await db.schema
        .createTable('revocations')
        .addColumn('at', 'bigint', (column) => column.notNull())
        .addColumn('device_id', types.text, (column) => column.notNull().references('devices.id'))
        .addColumn('serial', types.text)
        .addColumn('reason', types.text, (column) => column.notNull())
        .execute();
      await db.schema.createIndex('revocations_serial').on('revocations').columns(['serial', 'at']).execute();
      await db.schema
        .createIndex('revocations_device')
        .on('revocations')
        .columns(['device_id', 'serial'])
        .execute();
      await db.schema.createIndex('revocations_at').on('revocations').columns(['at', 'device_id']).execute();

      await db.schema
        .createTable('audit')
        .addColumn('seq', types.sequence, (column) => column.primaryKey())
        .addColumn('at', 'bigint', (column) => column.notNull())
        .addColumn('action', types.text, (column) => column.notNull())
        .addColumn('subject', types.text, (column) => column.notNull())
        .addColumn('detail_json', types.text, (column) => column.notNull())
        .addColumn('previous_hash', types.text, (column) => column.notNull())
        .addColumn('hash', types.text, (column) => column.notNull())
        .execute();
      await db.schema.createIndex('audit_subject').on('audit').columns(['subject', 'seq']).execute();

      await db.schema
        .createTable('settings')
        .addColumn('name', types.text, (column) => column.primaryKey())
        .addColumn('value', types.text, (column) => column.notNull())
        .execute();

      await db.schema
        .createTable('ledger')
        .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
        .addColumn('devices', 'bigint', (column) => column.notNull())
        .addColumn('audit_seq', 'bigint', (column) => column.notNull())
        .addColumn('audit_hash', types.text, (column) => column.notNull())
        .execute();
      await db
        .insertInto('ledger')
        .values({ id: 1, devices: 0, audit_seq: 0, audit_hash: AUDIT_GENESIS_HASH })
        .execute();
    },
  };
}
