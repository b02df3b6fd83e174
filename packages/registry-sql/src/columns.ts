// The columns of each table, for queries that read whole rows. With `select *`, a connection of a daemon would fail as soon as the
// next version adds a column: PostgreSQL refuses a prepared statement whose result has changed.

import type {
  AuditTable,
  AuthoritiesTable,
  CertificatesTable,
  DevicesTable,
  PairingsTable,
  RevocationsTable,
  SettingsTable,
} from './tables.ts';

/** The compiler reports a column that is missing. */
export function columnsOf<Table>() {
  return <Name extends keyof Table & string>(
    ...names: keyof Table extends Name ? readonly Name[] : readonly [missing: Exclude<keyof Table, Name>]
  ): readonly Name[] => names as readonly Name[];
}

export const columns = {
  devices: columnsOf<DevicesTable>()(
    'id',
    'identity_key',
    'name',
    'name_folded',
    'kind',
    'platform',
    'role',
    'state',
    'created_at',
    'last_seen_at',
    'capabilities',
    'host_names',
    'labels',
    'revocation_reason',
    'clone_seen_at',
    'clone_reported_at',
    'certificate_revoked_at',
    'recovery_asked_at',
    'recovery_released_at',
  ),
  certificates: columnsOf<CertificatesTable>()(
    'serial',
    'fingerprint',
    'key_sha256',
    'subject_kind',
    'subject_id',
    'state',
    'not_before',
    'not_after',
    'issuer_id',
    'created_at',
    'renew_at',
    'der',
    'recovered',
  ),
  pairings: columnsOf<PairingsTable>()(
    'id',
    'revision',
    'state',
    'code_kind',
    'slot',
    'created_at',
    'auto_approved_by',
    'guesses_left',
    'guesses_taken',
    'expires_at',
    'sealed_secret',
    'serial',
    'reason',
    'device_id',
    'identity_key',
    'tls_key',
    'name',
    'kind',
    'platform',
    'words',
    'source',
    'continuity',
    'failed_guesses',
    'sealed_await_key',
  ),
  revocations: columnsOf<RevocationsTable>()('at', 'device_id', 'serial', 'reason'),
  authorities: columnsOf<AuthoritiesTable>()(
    'id',
    'tier',
    'state',
    'serial',
    'fingerprint',
    'not_before',
    'not_after',
    'der',
  ),
  audit: columnsOf<AuditTable>()('seq', 'at', 'action', 'subject', 'detail_json', 'previous_hash', 'hash'),
  settings: columnsOf<SettingsTable>()('name', 'value'),
};
