import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { test } from 'node:test';
import { type CompiledQuery, Kysely, SqliteDialect } from 'kysely';
import { statementsFor } from '../statements.ts';
import type { Tables } from '../tables.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { openSqliteRegistry } from './open.ts';

test('no query scans or sorts the whole fleet', async (t) => {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  await (await openSqliteRegistry({ path })).close();
  const raw = new DatabaseSync(path);
  const db = new Kysely<Tables>({
    dialect: new SqliteDialect({ database: () => Promise.reject(new Error('only compiled here')) }),
  });
  const statements = statementsFor(db);
  const plan = ({ sql, parameters }: CompiledQuery): string[] =>
    raw
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...(parameters as SQLInputValue[]))
      .map((row) => String(row.detail));
  const limit = 10;

  assert.deepEqual(plan(statements.standing({ fingerprint: 'f' })), [
    'SEARCH c USING COVERING INDEX certificates_standing (fingerprint=?)',
    'SEARCH d USING COVERING INDEX devices_standing (id=?) LEFT-JOIN',
    'SEARCH a USING COVERING INDEX authorities_standing (id=?)',
  ]);
  assert.deepEqual(plan(statements.standingBySerial({ serial: 's' })), [
    'SEARCH c USING INDEX sqlite_autoindex_certificates_1 (serial=?)',
    'SEARCH d USING COVERING INDEX devices_standing (id=?) LEFT-JOIN',
    'SEARCH a USING COVERING INDEX authorities_standing (id=?)',
  ]);
  const searches: Record<string, [CompiledQuery, RegExp]> = {
    device: [statements.device({ id: 'i' }), /\(id=\?\)/],
    certificates: [statements.certificates({ after: 's', limit }), /\(serial>\?\)/],
    allPairings: [statements.allPairings({ after: 'i', limit }), /\(id>\?\)/],
    revocationsOfDevice: [
      statements.revocationsOfDevice({ device_id: 'd' }),
      /revocations_device \(device_id=\? AND serial=\?\)/,
    ],
    devices: [statements.devices({ limit, after: 'i' }), /\(id>\?\)/],
    devicesByName: [
      statements.devices({ limit, order: 'name', after: 'i', afterKey: 'n' }),
      /devices_name \(\(name_folded,id\)>\(\?,\?\)\)/,
    ],
    serial: [statements.certificateBySerial({ serial: 's' }), /\(serial=\?\)/],
    fingerprint: [statements.certificateByFingerprint({ fingerprint: 'f' }), /\(fingerprint=\?\)/],
    pairing: [statements.pairing({ id: 'i' }), /\(id=\?\)/],
    waitingPairing: [statements.waitingPairing({ slot: 's' }), /pairings_waiting_slot \(slot=\?\)/],
    issuedPairing: [statements.issuedPairing({ serial: 's' }), /pairings_issued_serial \(serial=\?\)/],
    openRequestsOf: [statements.openRequestsOf({ device_id: 'd' }), /pairings_device \(device_id=\?\)/],
    setting: [statements.setting({ name: 'n' }), /\(name=\?\)/],
    unusedCertificates: [
      statements.unusedCertificates({ device_id: 'd' }),
      /certificates_living \(subject_id=\?\)/,
    ],
    auditAfter: [statements.auditAfter({ seq: 1, limit }), /PRIMARY KEY \(rowid>\?\)/],
    audit: [statements.audit({ limit, before: 9 }), /PRIMARY KEY \(rowid<\?\)/],
    auditOf: [
      statements.audit({ limit, before: 9, subject: 's' }),
      /audit_subject \(subject=\? AND seq<\?\)/,
    ],
    auditFamily: [statements.audit({ limit, before: 9, family: 'f' }), /PRIMARY KEY \(rowid<\?\)/],
    auditOfAction: [statements.audit({ limit, subject: 's', action: 'a' }), /audit_subject \(subject=\?\)/],
    livingCertificates: [
      statements.livingCertificates({ device_id: 'd' }),
      /certificates_living \(subject_id=\?\)/,
    ],
  };
  for (const [name, [query, expected]] of Object.entries(searches)) {
    const [only, ...rest] = plan(query);
    assert.match(only ?? '', expected, name);
    assert.match(only ?? '', /^SEARCH /, name);
    assert.deepEqual(rest, [], name);
  }
  // A page of a revocation list reads only its own rows.
  const page = { issuer_id: 'i', not_after: 1, serial: 's', limit };
  assert.deepEqual(plan(statements.revokedCertificates(page)), [
    'SEARCH c USING COVERING INDEX certificates_revoked (issuer_id=? AND (not_after,serial)>(?,?))',
    'CORRELATED SCALAR SUBQUERY 1',
    'SEARCH r USING COVERING INDEX revocations_serial (serial=?)',
  ]);
  // The rows of one device, whatever else the audit has.
  const ofDevice = plan(statements.audit({ limit, device: 'd' }));
  assert.deepEqual(
    ofDevice.filter((step) => step.includes('SCAN') && step !== 'SCAN CONSTANT ROW'),
    [],
  );
  assert.ok(ofDevice.some((step) => step.includes('audit_subject (subject=?)')));
  // These read in index order and stop at their limit.
  assert.deepEqual(plan(statements.pairings({ states: undefined, limit })), [
    'SCAN pairings USING INDEX pairings_created',
  ]);
  assert.deepEqual(plan(statements.revocations({ limit })), ['SCAN revocations USING INDEX revocations_at']);
  // These sort only the rows that they find: a device's certificates, the pairings that are due.
  assert.match(
    plan(statements.certificatesOf({ device_id: 'd', limit }))[0] ?? '',
    /^SEARCH .*\(subject_id=\?\)/,
  );
  assert.match(
    plan(statements.revocableCertificates({ device_id: 'd', now: 1, limit }))[0] ?? '',
    /^SEARCH .*\(subject_id=\?\)/,
  );
  const due = plan(statements.duePairings({ ended_by: 1, made_after: 2, limit }));
  assert.deepEqual(
    due.filter((step) => step.startsWith('SEARCH')),
    [
      'SEARCH pairings USING INDEX pairings_state (state=? AND expires_at<?)',
      'SEARCH pairings USING INDEX pairings_created (created_at>?)',
    ],
  );
  assert.equal(due.filter((step) => step.startsWith('SCAN')).length, 0, String(due));
  // Reads only future rows, from the index alone. Runs at a start.
  assert.match(
    plan(statements.plannedRenewals({ from: 1, to: 2, step: 1 }))[0] ?? '',
    /^SEARCH certificates USING COVERING INDEX certificates_renewal \(renew_at>\? AND renew_at<\?\)/,
  );
  // Four reads of one index, each in its order up to a limit.
  const pace = plan(statements.certificatePace({ device_id: 'd', before_burst: 1, before_unpaced: 2 }));
  const paceReads = pace.filter((step) =>
    /^SEARCH certificates .* certificates_subject \(subject_id=\?\)/.test(step),
  );
  assert.equal(paceReads.length, 4, String(pace));
  assert.equal(pace.filter((step) => /SCAN certificates|TEMP B-TREE/.test(step)).length, 0, String(pace));
  const keys = { device_id: 'd', identity_key: new Uint8Array(), tls_key: new Uint8Array() };
  const keyInUse = plan(statements.keyInUse({ ...keys, tls_key_sha256: new Uint8Array() }));
  assert.equal(keyInUse.filter((step) => step.startsWith('SEARCH ')).length, 4, String(keyInUse));
  assert.equal(keyInUse.filter((step) => step.startsWith('SCAN ')).length, 0, String(keyInUse));
  const counts = plan(statements.counts({}));
  assert.equal(counts.filter((step) => /^SEARCH pairings USING COVERING INDEX/.test(step)).length, 2);
  assert.deepEqual(
    counts.filter((step) => step.startsWith('SCAN')),
    ['SCAN ledger'],
  );
  raw.close();
});
