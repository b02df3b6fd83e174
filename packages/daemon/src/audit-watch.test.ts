import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { AUDIT_GENESIS_HASH, type AuditRow, auditHashInput, type Registry } from '@palyra/identity/registry';
import { systemClock } from '@palyra/identity/values';
import { AuditWatch } from './audit-watch.ts';

/** A registry whose audit has these rows, although its ledger has none. */
function registryOf(rows: () => AsyncIterable<AuditRow>) {
  let open = 0;
  const reader = {
    auditHead: async () => ({ seq: 0, hash: AUDIT_GENESIS_HASH }),
    audit: async () => [],
    auditRows: rows,
    close: async () => {
      open -= 1;
    },
  };
  const registry = {
    snapshot: async () => {
      open += 1;
      return reader;
    },
  } as unknown as Registry;
  return { registry, open: () => open };
}

const fails = (error: unknown) => assert.fail(String(error));
const foreignRow = { seq: 1, previousHash: 'forged' } as AuditRow;

test('a check that is due starts once, and a broken audit is reported once', async () => {
  const { registry } = registryOf(async function* () {
    yield foreignRow;
  });
  const told: unknown[] = [];
  const reported = Promise.withResolvers<void>();
  const onError = (error: unknown) => {
    told.push(error);
    reported.resolve();
  };
  const watch = new AuditWatch({ registry, clock: systemClock, onError, firstAfterMs: 0 });
  assert.deepEqual([watch.last, watch.problem], [undefined, undefined]);
  watch.checkIfDue();
  watch.checkIfDue();
  await reported.promise;
  assert.equal(watch.last?.isIntact, false);
  assert.equal(watch.problem?.code, 'AUDIT_BROKEN');
  // The next one is due tomorrow.
  watch.checkIfDue();
  await watch.check();
  assert.equal(told.length, 1);
  await watch.close();
});

test('a start does not check at once', () => {
  const registry = { snapshot: () => assert.fail('too early') } as unknown as Registry;
  new AuditWatch({ registry, clock: systemClock, onError: fails }).checkIfDue();
});

test('closing ends a check, and the registry is not read afterwards', async () => {
  const begun = Promise.withResolvers<void>();
  const { registry, open } = registryOf(async function* () {
    let previousHash = AUDIT_GENESIS_HASH;
    for (let seq = 1; ; seq += 1) {
      await new Promise(setImmediate);
      const row = {
        seq,
        previousHash,
        atMs: 1,
        action: 'capability.executed',
        subject: 'x',
        detailJson: '{}',
      };
      previousHash = hash('sha256', auditHashInput(row));
      yield { ...row, hash: previousHash };
      if (seq === 3) begun.resolve();
    }
  });
  const watch = new AuditWatch({ registry, clock: systemClock, onError: fails, firstAfterMs: 0 });
  watch.checkIfDue();
  await begun.promise;
  assert.equal(open(), 1);
  await watch.close();
  assert.equal(open(), 0);
  watch.checkIfDue();
  assert.equal(open(), 0);
});
