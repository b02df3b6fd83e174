// Somebody with write access to the registry's file changes a row. `doctor` and `audit verify` find every such change.

import assert from 'node:assert/strict';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { examineHome } from '@palyra/daemon/home';
import { type RegistryVerdict, verifyAudit } from '@palyra/identity';
import { describeDifference } from '@palyra/identity/registry';
import { lookAtSqliteRegistry } from '@palyra/registry-sql';
import { Problem_Part } from '@palyra/rpc/admin';
import { type Who, writeHistory } from '../testing/rich-history.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const verdictOf = (path: string): Promise<RegistryVerdict> =>
  lookAtSqliteRegistry({ path }, (registry) => verifyAudit(registry));

/** Each change, with device ids as `:who`, and the difference that must be reported. */
const attacks: readonly (readonly [sql: string, found: RegExp])[] = [
  [
    "UPDATE devices SET state = 'active' WHERE id = :revoked",
    /^device :revoked: .* state active, .* revoked$/,
  ],
  [
    "UPDATE devices SET state = 'approved', revocation_reason = NULL WHERE id = :revoked",
    /^device :revoked: .* state/,
  ],
  ['UPDATE devices SET revocation_reason = NULL WHERE id = :revoked', /^device :revoked: .* reason/],
  [
    "UPDATE devices SET role = 'operator' WHERE id = :ordinary",
    /^device :ordinary: .* role operator, .* device$/,
  ],
  [
    `UPDATE devices SET host_names = '["bank.example"]' WHERE id = :ordinary`,
    /^device :ordinary: .* host_names bank\.example, .* nothing$/,
  ],
  [
    `UPDATE devices SET labels = '["admin"]' WHERE id = :ordinary`,
    /^device :ordinary: .* labels admin, .* nothing$/,
  ],
  ["UPDATE devices SET role = 'operator' WHERE id = :demoted", /^device :demoted: .* role operator/],
  [
    'UPDATE devices SET identity_key = randomblob(32) WHERE id = :ordinary',
    /^device :ordinary: .* identity_key/,
  ],
  ["UPDATE devices SET name = 'the router' WHERE id = :ordinary", /^device :ordinary: .* name/],
  ["UPDATE devices SET state = 'active' WHERE id = :quarantined", /^device :quarantined: .* state active/],
  [
    'UPDATE devices SET clone_seen_at = NULL WHERE id = :quarantined',
    /^device :quarantined: .* clone_seen_at nothing/,
  ],
  [
    'UPDATE devices SET clone_reported_at = 9999999999999 WHERE id = :ordinary',
    /^device :ordinary: .* clone_reported_at/,
  ],
  ['UPDATE devices SET recovery_asked_at = NULL WHERE id = :asking', /^device :asking: .* recovery_asked_at/],
  [
    'UPDATE devices SET recovery_released_at = recovery_asked_at, recovery_asked_at = NULL WHERE id = :asking',
    /^device :asking: .* recovery_released_at/,
  ],
  ['UPDATE devices SET created_at = created_at + 1 WHERE id = :ordinary', /^device :ordinary: .* created_at/],
  ['DELETE FROM devices WHERE id = :revoked', /^device :revoked: .* row nothing/],
  [
    "INSERT INTO devices SELECT '01KAT0MZP8C4T7T1JQ5Z7K3QX9', randomblob(32), name, name_folded, kind, platform, 'operator', 'active', created_at, last_seen_at, capabilities, host_names, labels, NULL, NULL, NULL, NULL, NULL, NULL FROM devices WHERE id = :ordinary",
    /^device 01KAT0MZP8C4T7T1JQ5Z7K3QX9: .* row is there, .* nothing$/,
  ],
  [
    "UPDATE certificates SET state = 'active' WHERE subject_id = :revoked AND state = 'revoked'",
    /^certificate .* state active, .* revoked$/,
  ],
  [
    "UPDATE certificates SET state = 'active' WHERE subject_id = :leaked",
    /^certificate .* state active, .* revoked$/,
  ],
  [
    "UPDATE certificates SET state = 'active' WHERE state = 'superseded'",
    /^certificate .* state active, .* superseded$/,
  ],
  [
    "UPDATE certificates SET state = 'issued' WHERE state = 'superseded'",
    /^certificate .* state issued, .* superseded$/,
  ],
  [
    "UPDATE certificates SET subject_id = :operator WHERE subject_id = :ordinary AND state = 'active'",
    /^certificate .* device/,
  ],
  [
    'UPDATE certificates SET not_after = not_after + 86400000 WHERE subject_id = :ordinary',
    /^certificate .* not_after/,
  ],
  [
    "UPDATE certificates SET fingerprint = 'f' || substr(fingerprint, 2), serial = 'f' || substr(serial, 2) WHERE subject_id = :ordinary AND state = 'active'",
    /^certificate f.* row is there, .* nothing$/,
  ],
  ['UPDATE certificates SET der = randomblob(500) WHERE subject_id = :ordinary', /^certificate .* der/],
  [
    'UPDATE certificates SET created_at = created_at + 1 WHERE subject_id = :ordinary',
    /^certificate .* created_at/,
  ],
  ['UPDATE certificates SET recovered = 1 WHERE subject_id = :ordinary', /^certificate .* recovered/],
  [
    'UPDATE certificates SET issuer_id = (SELECT max(id) FROM authorities) WHERE subject_id = :ordinary',
    /^certificate .* issuer/,
  ],
  ['DELETE FROM certificates WHERE subject_id = :leaked', /^certificate .* row nothing, .* must be there$/],
  ['DELETE FROM revocations WHERE device_id = :leaked', /^revocation .* rows 0, .* 1$/],
  [
    'DELETE FROM revocations WHERE device_id = :revoked AND serial IS NULL',
    /^revocation :revoked: .* rows 0, .* 1$/,
  ],
  ['UPDATE revocations SET at = at + 86400000 WHERE device_id = :leaked', /^revocation .* at /],
  ['UPDATE revocations SET serial = NULL WHERE device_id = :leaked', /^revocation .* rows 0/],
  ["INSERT INTO revocations VALUES (1, :ordinary, NULL, 'mischief')", /^revocation all: /],
  [
    "UPDATE pairings SET state = 'pending_approval', expires_at = 9999999999999, reason = NULL WHERE state = 'rejected' AND device_id IS NOT NULL",
    /^pairing .* state pending_approval, .* rejected$/,
  ],
  [
    "UPDATE pairings SET state = 'approved' WHERE state = 'pending_approval'",
    /^pairing .* state approved, .* pending_approval$/,
  ],
  ['UPDATE pairings SET guesses_left = 3 WHERE guesses_left = 2', /^pairing .* guesses_left 3, .* 2$/],
  [
    "UPDATE pairings SET auto_approved_by = 'console' WHERE state = 'waiting' AND auto_approved_by IS NULL",
    /^pairing .* auto_approved_by/,
  ],
  ["UPDATE pairings SET expires_at = 9999999999999 WHERE state = 'waiting'", /^pairing .* expires_at/],
  ["UPDATE pairings SET tls_key = randomblob(91) WHERE state = 'pending_approval'", /^pairing .* request/],
  ["UPDATE pairings SET identity_key = randomblob(32) WHERE state = 'approved'", /^pairing .* request/],
  ["UPDATE pairings SET words = 'acid bird crane' WHERE state = 'pending_approval'", /^pairing .* request/],
  ["DELETE FROM pairings WHERE state = 'rejected'", /^pairing .* row nothing/],
  [
    "UPDATE authorities SET state = 'trusted' WHERE state = 'retired' AND tier = 'root'",
    /^authority .* state trusted, .* retired$/,
  ],
  ['UPDATE authorities SET der = randomblob(400)', /^authority .* der/],
  ['UPDATE authorities SET not_after = not_after + 1', /^authority .* not_after/],
  [
    "INSERT INTO authorities SELECT '01KAT0MZP8C4T7T1JQ5Z7K3QX8', tier, 'trusted', 'aa', 'bb', not_before, not_after, der FROM authorities WHERE tier = 'root' LIMIT 1",
    /^authority 01KAT0MZP8C4T7T1JQ5Z7K3QX8: .* row is there/,
  ],
  ["UPDATE settings SET value = '01KAT0MZP8C4T7T1JQ5Z7K3QX7' WHERE name = 'daemon_id'", /^setting daemon_id/],
  ["UPDATE settings SET value = 'other.internal' WHERE name = 'trust_domain'", /^setting trust_domain/],
  ["DELETE FROM settings WHERE name = 'root_rotation'", /^setting root_rotation: .* nothing, .*prepared/],
  ["UPDATE settings SET value = '{}' WHERE name = 'authority_keys'", /^setting authority_keys/],
  [`INSERT INTO settings VALUES ('restored', '{"atMs":9999999999999,"madeAtMs":1}')`, /^setting restored/],
  ['UPDATE ledger SET devices = 0', /^ledger counts: .* devices 0/],
];

test('an outside change to any row is found, and reported with the values of the table and of the audit', async () => {
  const folder = temporaryFolder();
  const original = join(folder, 'registry.sqlite');
  const { devices } = await writeHistory(original);
  const whole = await verdictOf(original);
  assert.ok(whole.ok, JSON.stringify(whole, null, 2));
  const named = (text: string, quote: string) =>
    text.replace(/:([a-z]+)\b/g, (all, who: Who) => (devices[who] ? `${quote}${devices[who]}${quote}` : all));
  for (const [sql, found] of attacks) {
    const path = join(folder, 'changed.sqlite');
    await cp(original, path);
    const raw = new DatabaseSync(path);
    raw.exec('PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = OFF');
    const { changes } = raw.prepare(named(sql, "'")).run();
    raw.exec('PRAGMA journal_mode = WAL');
    raw.close();
    assert.ok(changes > 0, `it changes nothing: ${sql}`);
    const verdict = await verdictOf(path);
    assert.ok(!verdict.ok, sql);
    const lines = verdict.differences.map(describeDifference);
    const expected = new RegExp(named(found.source, ''));
    assert.ok(
      lines.some((line) => expected.test(line)),
      `${sql}: ${lines.join('\n') || verdict.problem}`,
    );
  }
});

test('a registry too large for one part is compared in parts, with the same result', async () => {
  const path = join(temporaryFolder(), 'registry.sqlite');
  await writeHistory(path);
  const inParts = (rows: number) =>
    lookAtSqliteRegistry({ path }, (registry) => verifyAudit(registry, { rowsPerPart: rows }));
  for (const rows of [1_000, 50, 7])
    assert.deepEqual(await inParts(rows), await verdictOf(path), `${rows} rows`);
  const raw = new DatabaseSync(path);
  raw.exec(
    "UPDATE certificates SET state = 'active'; DELETE FROM revocations; UPDATE devices SET role = 'operator'",
  );
  raw.close();
  const sorted = (verdict: RegistryVerdict) => {
    assert.ok(!verdict.ok);
    return verdict.differences.map(describeDifference).sort();
  };
  const whole = sorted(await verdictOf(path));
  assert.ok(whole.length > 20);
  for (const rows of [50, 7]) assert.deepEqual(sorted(await inParts(rows)), whole, `${rows} rows`);
});

test('palyra doctor and palyra audit verify find the change of one UPDATE, even while the daemon runs', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  await (await daemon.node(await pair(daemon, device))).status({});
  const auditOf = async () =>
    (await examineHome(daemon.home, new Date())).filter(({ check }) => check === 'audit');
  assert.deepEqual(
    (await auditOf()).map(({ verdict }) => verdict),
    ['ok'],
  );
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'stolen' });
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
  const raw = new DatabaseSync(join(daemon.home, 'daemon', 'registry.sqlite'));
  raw.exec("UPDATE devices SET state = 'active' WHERE state = 'revoked'");
  raw.close();
  const expected = new RegExp(
    `device ${device.identity.id}: the table says state active, the audit says revoked`,
  );
  const verdict = await daemon.admin.verifyAudit({});
  assert.equal(verdict.ok, false);
  assert.match(verdict.problem, expected);
  const { problems } = await daemon.admin.getStatus({});
  assert.deepEqual(
    problems.map(({ part, code }) => [part, code]),
    [[Problem_Part.AUDIT, 'AUDIT_BROKEN']],
  );
  assert.match(problems[0]!.message, expected);
  const [finding] = await auditOf();
  assert.equal(finding?.verdict, 'problem');
  assert.match(finding.message, expected);
});
