// The audit chain: every change of the registry is a row, and its hash covers the row before it.

import { hexToBytes } from '@noble/curves/utils.js';
import { lvCat } from '../lv.ts';

/** The kind of change. A closed set, because programs filter by it. */
export type AuditAction =
  | 'daemon.created'
  | 'daemon.restored'
  | 'daemon.certificate_issued'
  | 'daemon.forgotten'
  | 'authority.created'
  | 'authority.replaced'
  | 'authority.retired'
  | 'root.prepared'
  | 'root.activated'
  | 'root.finished'
  | 'root.rolled_back'
  | 'code.minted'
  | 'code.guessed'
  | 'code.exhausted'
  | 'code.expired'
  | 'code.withdrawn'
  | 'request.received'
  | 'request.approved'
  | 'request.rejected'
  | 'request.expired'
  | 'certificate.issued'
  | 'certificate.activated'
  | 'certificate.superseded'
  | 'certificate.renewed'
  | 'certificate.recovered'
  | 'certificate.renewal_asked'
  | 'certificate.revoked'
  | 'certificate.reused'
  | 'certificate.carried_over'
  | 'recovery.asked'
  | 'device.revoked'
  | 'device.carried_over'
  | 'device.quarantined'
  | 'device.released'
  | 'device.renamed'
  | 'device.role_changed'
  | 'device.host_names_changed'
  | 'device.labels_changed'
  | 'device.identity_key_replaced'
  | 'capability.executed'
  | 'operator.passkey_added'
  | 'operator.passkey_removed'
  | 'operator.passkey_used';

/** The part of a row that the change supplies. The registry adds sequence number and hashes. */
export interface AuditEvent {
  readonly at: Date;
  readonly action: AuditAction;
  /** The device id, pairing id or serial that the event is about. */
  readonly subject: string;
  /** Facts, never secrets. The hash covers the stored JSON text. */
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

export interface AuditRow {
  readonly seq: number;
  readonly atMs: number;
  readonly action: string;
  readonly subject: string;
  readonly detailJson: string;
  /** SHA-256 in lower-case hex; 64 zeros in the first row. */
  readonly previousHash: string;
  readonly hash: string;
}

/** `previousHash` of the first row. */
export const AUDIT_GENESIS_HASH = '0'.repeat(64);

/** The bytes whose SHA-256 is a row's hash (docs/architecture.md, "Audit"). */
export function auditHashInput(row: Omit<AuditRow, 'hash'>): Uint8Array {
  return lvCat(
    'palyra-audit-v1',
    hexToBytes(row.previousHash),
    String(row.seq),
    String(row.atMs),
    row.action,
    row.subject,
    row.detailJson,
  );
}

export type AuditVerdict =
  | { readonly ok: true; readonly rows: number; readonly headHash: string }
  | { readonly ok: false; readonly rows: number; readonly brokenAt: number; readonly problem: string };

/**
 * Verifies the chain from its first row.
 * @param rows in order of `seq`.
 * @param head the last row according to the registry, to detect rows missing at the end.
 * @param sha256Hex the hash, lower-case hex.
 */
export async function verifyAuditChain(
  rows: AsyncIterable<AuditRow>,
  head: { readonly seq: number; readonly hash: string },
  sha256Hex: (data: Uint8Array) => string,
): Promise<AuditVerdict> {
  let count = 0;
  let previousHash = AUDIT_GENESIS_HASH;
  const broken = (brokenAt: number, problem: string): AuditVerdict => ({
    ok: false,
    rows: count,
    brokenAt,
    problem,
  });
  for await (const row of rows) {
    if (row.seq !== count + 1)
      return broken(count + 1, `row ${count + 1} is missing; the next is ${row.seq}`);
    if (row.previousHash !== previousHash)
      return broken(row.seq, `row ${row.seq} does not follow the row before it`);
    if (row.hash !== sha256Hex(auditHashInput(row))) return broken(row.seq, `row ${row.seq} was changed`);
    previousHash = row.hash;
    count += 1;
  }
  if (count < head.seq) return broken(count + 1, `rows ${count + 1} to ${head.seq} are missing at the end`);
  if (previousHash !== head.hash) return broken(count, 'the last row is not the one that was written last');
  return { ok: true, rows: count, headHash: previousHash };
}
