// The audit chain of a registry that goes on being written to.

import { hash } from 'node:crypto';
import { type AuditRow, type AuditVerdict, verifyAuditChain } from '../audit.ts';
import type { Registry } from './port.ts';

/** Every row that was there when it began. */
export async function verifyAudit(registry: Registry): Promise<AuditVerdict> {
  const { head, newest } = await registry.transact(async (tx) => ({
    head: await tx.auditHead(),
    newest: (await tx.audit({ limit: 1 }))[0]?.seq ?? 0,
  }));
  if (newest > head.seq) {
    return { ok: false, rows: head.seq, brokenAt: newest, problem: `row ${newest} was added from outside` };
  }
  return verifyAuditChain(upTo(registry.auditRows(), head.seq), head, (data) => hash('sha256', data));
}

async function* upTo(rows: AsyncIterable<AuditRow>, seq: number): AsyncIterable<AuditRow> {
  for await (const row of rows) {
    if (row.seq > seq) return;
    yield row;
  }
}
