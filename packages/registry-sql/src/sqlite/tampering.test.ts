import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { type AuditVerdict, auditHashInput, verifyAuditChain } from '@palyra/identity/registry';
import { sampleEvent } from '../testing/samples.ts';
import { sha256Hex } from '../testing/sha256.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { openSqliteRegistry } from './open.ts';

const ROWS = 6;

test('an unchanged chain verifies', async (t) => {
  assert.equal((await verdictAfter(t, 'SELECT 1')).ok, true);
});

for (const column of ['at', 'action', 'subject', 'detail_json', 'previous_hash', 'hash']) {
  test(`a changed ${column} is found`, async (t) => {
    const value = column === 'at' ? '1' : column.endsWith('hash') ? `'${'f'.repeat(64)}'` : "'other'";
    breaksAt(await verdictAfter(t, `UPDATE audit SET ${column} = ${value} WHERE seq = 3`), 3);
  });
}

test('a removed row is found', async (t) => {
  breaksAt(await verdictAfter(t, 'DELETE FROM audit WHERE seq = 3'), 3);
});

test('a removed row is found even if the later rows were renumbered', async (t) => {
  breaksAt(
    await verdictAfter(t, 'DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3'),
    3,
  );
});

test('two swapped rows are found', async (t) => {
  const swap = 'UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4;';
  breaksAt(await verdictAfter(t, `${swap} UPDATE audit SET seq = 4 WHERE seq = 99`), 3);
});

test('rows removed from the end are found', async (t) => {
  breaksAt(await verdictAfter(t, 'DELETE FROM audit WHERE seq > 4'), 5);
});

test('a replaced last row is found', async (t) => {
  const row = { seq: ROWS, atMs: 1, action: 'code.minted', subject: 'forged', detailJson: '{}' };
  const verdict = await verdictAfter(t, (previousHash) => {
    const hash = sha256Hex(auditHashInput({ ...row, previousHash }));
    return `UPDATE audit SET at = 1, action = 'code.minted', subject = 'forged', detail_json = '{}', hash = '${hash}'
      WHERE seq = ${ROWS}`;
  });
  breaksAt(verdict, ROWS);
});

function breaksAt(verdict: AuditVerdict, seq: number): void {
  assert.ok(!verdict.ok);
  assert.equal(verdict.brokenAt, seq);
}

/** @param tamper SQL, or a function that makes the SQL from the last row's `previousHash`. */
async function verdictAfter(
  t: TestContext,
  tamper: string | ((previousHash: string) => string),
): Promise<AuditVerdict> {
  const path = join(await temporaryFolder(t), 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  for (let row = 0; row < ROWS; row += 1) await registry.transact((tx) => tx.appendAudit(sampleEvent()));
  const [last] = await registry.audit({ limit: 1 });
  assert.ok(last);
  const raw = new DatabaseSync(path);
  raw.exec(typeof tamper === 'string' ? tamper : tamper(last.previousHash));
  raw.close();
  const verdict = await verifyAuditChain(registry.auditRows(), await registry.auditHead(), sha256Hex);
  await registry.close();
  return verdict;
}
