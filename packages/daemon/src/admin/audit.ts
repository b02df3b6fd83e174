// The audit log.

import { verifyAudit } from '@palyra/identity';
import { serialsIn } from '@palyra/identity/certificate';
import type { AuditRow } from '@palyra/identity/registry';
import { pageSize } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

export function auditMethods({
  identity: { registry },
}: AdminServiceOptions): Methods<'listAudit' | 'verifyAudit'> {
  return {
    async listAudit({ limit, before, subject }) {
      const query = { limit: pageSize(limit), ...(before > 0n && { before: Number(before) }) };
      if (!subject) return { entries: (await registry.audit(query)).map(toWireAudit) };
      for (const form of [subject, ...serialsIn(subject)]) {
        const rows = await registry.audit({ ...query, subject: form });
        if (rows.length > 0) return { entries: rows.map(toWireAudit) };
      }
      return { entries: [] };
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
