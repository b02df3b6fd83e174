// Makes a row of the audit chain from an event and the previous row, and reads it back.

import { createHash } from 'node:crypto';
import { type AuditEvent, type AuditRow, auditHashInput } from '@palyra/identity/registry';
import type { AuditTable } from '../tables.ts';
import { integer, milliseconds, type Row, text } from './column.ts';

/** The row that follows `head`. */
export function nextAuditRow(
  event: AuditEvent,
  head: { readonly seq: number; readonly hash: string },
): AuditTable {
  const row = {
    seq: head.seq + 1,
    atMs: milliseconds(event.at),
    action: event.action,
    subject: event.subject,
    // Sorted, so that equal facts always give equal bytes.
    detailJson: JSON.stringify(event.detail, Object.keys(event.detail).sort()),
    previousHash: head.hash,
  };
  return {
    seq: row.seq,
    at: row.atMs,
    action: row.action,
    subject: row.subject,
    detail_json: row.detailJson,
    previous_hash: row.previousHash,
    hash: createHash('sha256').update(auditHashInput(row)).digest('hex'),
  };
}

export function readAuditRow(row: Row): AuditRow {
  return {
    seq: integer(row, 'seq'),
    atMs: integer(row, 'at'),
    action: text(row, 'action'),
    subject: text(row, 'subject'),
    detailJson: text(row, 'detail_json'),
    previousHash: text(row, 'previous_hash'),
    hash: text(row, 'hash'),
  };
}
