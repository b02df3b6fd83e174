import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AUDIT_GENESIS_HASH, type AuditRow, auditHashInput, verifyAuditChain } from './entry.ts';

const sha256Hex = (data: Uint8Array) => hash('sha256', data, 'hex');

function chain(length: number): AuditRow[] {
  const rows: AuditRow[] = [];
  let previousHash = AUDIT_GENESIS_HASH;
  for (let seq = 1; seq <= length; seq += 1) {
    const row = {
      seq,
      atMs: 1_700_000_000_000 + seq,
      action: 'code.minted',
      subject: `subject ${seq}`,
      detailJson: `{"n":${seq}}`,
      previousHash,
    };
    rows.push({ ...row, hash: sha256Hex(auditHashInput(row)) });
    previousHash = rows.at(-1)!.hash;
  }
  return rows;
}

const headOf = (rows: readonly AuditRow[]) => ({
  seq: rows.at(-1)?.seq ?? 0,
  hash: rows.at(-1)?.hash ?? AUDIT_GENESIS_HASH,
});

async function* stream(rows: readonly AuditRow[]): AsyncIterable<AuditRow> {
  yield* rows;
}

const verify = (rows: readonly AuditRow[], head = headOf(rows)) =>
  verifyAuditChain(stream(rows), head, sha256Hex);

test('an unchanged chain of any length verifies', async () => {
  for (const length of [0, 1, 2, 50]) {
    const rows = chain(length);
    assert.deepEqual(await verify(rows), { ok: true, rows: length, headHash: headOf(rows).hash });
  }
});

test('the hash covers every field of a row', () => {
  const [row] = chain(1) as [AuditRow];
  const changed: Partial<AuditRow>[] = [
    { seq: 2 },
    { atMs: row.atMs + 1 },
    { action: 'code.guessed' },
    { subject: 'subject 2' },
    { detailJson: '{"n":2}' },
    { previousHash: '1'.repeat(64) },
  ];
  for (const change of changed) {
    assert.notEqual(sha256Hex(auditHashInput({ ...row, ...change })), row.hash, JSON.stringify(change));
  }
});

test('moving text from one field to the next changes the hash', () => {
  const [row] = chain(1) as [AuditRow];
  const moved = { ...row, action: 'code.minteds', subject: 'ubject 1' };
  assert.notEqual(sha256Hex(auditHashInput(moved)), row.hash);
});

test('a change to any row is found at that row', async () => {
  const changes: ((row: AuditRow) => AuditRow)[] = [
    (row) => ({ ...row, atMs: row.atMs + 1 }),
    (row) => ({ ...row, action: 'code.guessed' }),
    (row) => ({ ...row, subject: `${row.subject}x` }),
    (row) => ({ ...row, detailJson: '{}' }),
    (row) => ({ ...row, hash: '0'.repeat(64) }),
    (row) => ({ ...row, previousHash: 'f'.repeat(64) }),
  ];
  const place = fc.integer({ min: 0, max: 9 });
  await fc.assert(
    fc.asyncProperty(place, fc.constantFrom(...changes), async (at, change) => {
      const rows = chain(10);
      rows[at] = change(rows[at]!);
      const verdict = await verify(rows, headOf(chain(10)));
      assert.ok(!verdict.ok);
      assert.equal(verdict.brokenAt, at + 1);
      assert.equal(verdict.rows, at);
    }),
  );
});

test('a change to a row and its hash is found at the next row, or by the head', async () => {
  for (const at of [0, 4, 9]) {
    const rows = chain(10);
    const row = { ...rows[at]!, subject: 'someone else' };
    rows[at] = { ...row, hash: sha256Hex(auditHashInput(row)) };
    const verdict = await verify(rows, headOf(chain(10)));
    assert.ok(!verdict.ok);
    assert.equal(verdict.brokenAt, at === 9 ? 10 : at + 2);
  }
});

test('a removed row is found at the start, in the middle and at the end', async () => {
  for (const at of [0, 5, 9]) {
    const rows = chain(10).toSpliced(at, 1);
    const verdict = await verify(rows, headOf(chain(10)));
    assert.ok(!verdict.ok);
    assert.equal(verdict.brokenAt, at + 1);
  }
});

test('reordered rows, a repeated row and a chain that continues past its head are found', async () => {
  const rows = chain(4);
  const swapped = [rows[0]!, rows[2]!, rows[1]!, rows[3]!];
  assert.equal((await verify(swapped)).ok, false);
  assert.equal((await verify([...rows, rows[3]!])).ok, false);
  assert.equal((await verify(rows, headOf(chain(3)))).ok, false);
  assert.equal((await verify([], headOf(rows))).ok, false);
});
