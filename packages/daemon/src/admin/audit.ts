// The audit log.

import { verifyAudit } from '@palyra/identity';
import type { AuditRow } from '@palyra/identity/registry';
import { pageSize } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

export function auditMethods({
  identity: { registry },
}: AdminServiceOptions): Methods<'listAudit' | 'verifyAudit'> {
  return {
    async listAudit({ limit, before, subject }) {
      const rows = await registry.audit({
        limit: pageSize(limit),
        ...(before > 0n && { before: Number(before) }),
        ...(subject && { subject }),
      });
      return {
        entries: rows.map(toWireAudit),
      };
    },
    async verifyAudit() {
      const verdict = await verifyAudit(registry);
      const rows = BigInt(verdict.rows);
      return verdict.ok
        ? { ok: true, rows, headHash: verdict.headHash }
        : { ok: false, rows, brokenAt: BigInt(verdict.brokenAt), problem: verdict.problem };
    },
  };
}

export function toWireAudit(row: AuditRow) {
  return {
    seq: BigInt(row.seq),
    atMs: BigInt(row.atMs),
    action: row.action,
    subject: row.subject,
    detailJson: row.detailJson,
    hash: row.hash,
  };
}
