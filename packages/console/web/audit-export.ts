// The audit as a file: every row that a filter finds, one JSON object a line, with names beside the ids.

import { type AuditEntry, auditGuesses } from '@palyra/rpc/admin';
import { admin } from './admin.ts';

const pageRows = 1000;
/** Rows of one file, which the browser holds in memory. */
const maxRows = 200_000;

export interface AuditFilter {
  readonly subject: string;
  readonly family: string;
}

/** @returns whether the file has every row. */
export async function exportAudit(
  filter: AuditFilter,
  fits: (entry: AuditEntry) => boolean,
): Promise<boolean> {
  const lines: string[] = [];
  let isWhole = false;
  for (let before = 0n; lines.length < maxRows && !isWhole; ) {
    const { entries } = await admin.listAudit({ ...filter, limit: pageRows, before });
    for (const entry of entries) if (fits(entry)) lines.push(lineOf(entry));
    isWhole = entries.length < pageRows;
    before = entries.at(-1)?.seq ?? 0n;
  }
  const url = URL.createObjectURL(new Blob(lines, { type: 'application/jsonl' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = 'palyra-audit.jsonl';
  link.click();
  // The browser has read it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return isWhole;
}

function lineOf(entry: AuditEntry): string {
  const guess = auditGuesses.fromWire(entry.guess);
  return `${JSON.stringify({
    seq: Number(entry.seq),
    at: new Date(Number(entry.atMs)).toISOString(),
    action: entry.action,
    subject: entry.subject,
    ...(entry.deviceId && { device_id: entry.deviceId, device_name: entry.deviceName }),
    ...(entry.byName && { by_name: entry.byName }),
    ...(guess && { outcome: guess }),
    detail: JSON.parse(entry.detailJson),
    hash: entry.hash,
  })}\n`;
}
