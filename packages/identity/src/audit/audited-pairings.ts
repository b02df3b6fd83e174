// Replays the audit rows of pairings.

import type { AuditedRow, Changing, Holds } from './audited-row.ts';
import type { AuditAction } from './entry.ts';

type PairingAction = Extract<AuditAction, `code.${string}` | `request.${string}`>;

export class AuditedPairings {
  readonly pairings = new Map<string, Changing>();
  readonly #holds: Holds;
  readonly #pairingOfSerial = new Map<string, string>();

  constructor(holds: Holds) {
    this.#holds = holds;
  }

  forget(): void {
    this.pairings.clear();
    this.#pairingOfSerial.clear();
  }

  readonly changes: Readonly<Record<PairingAction, (row: AuditedRow) => void>> = {
    'code.minted': ({ atMs, subject, detail }) => {
      if (!this.#holds(subject)) return;
      this.pairings.set(subject, {
        state: 'waiting',
        code_kind: detail.kind!,
        created_at: atMs,
        expires_at: detail.expires_at!,
        guesses_left: detail.guesses!,
        guesses_taken: 0,
        ...(detail.autoApprove && { auto_approved_by: detail.by ?? 'program' }),
      });
    },
    'code.guessed': ({ subject, detail }) =>
      this.#pairing(subject, (facts) => {
        facts.guesses_left = detail.left!;
        facts.guesses_taken = Number(facts.guesses_taken) + 1;
      }),
    'code.exhausted': (row) => this.#end(row, 'exhausted'),
    'code.expired': (row) => this.#end(row, 'expired'),
    'code.withdrawn': (row) => this.#end(row, 'rejected'),
    'request.received': ({ subject, detail }) =>
      this.#pairing(subject, (facts) => {
        facts.state = 'pending_approval';
        facts.expires_at = detail.expires_at!;
        facts.request = detail.request!;
      }),
    'request.approved': ({ subject, detail }) =>
      this.#pairing(subject, (facts) => {
        facts.state = 'approved';
        facts.expires_at = detail.expires_at!;
      }),
    'request.rejected': (row) => this.#end(row, 'rejected'),
    'request.expired': (row) => this.#end(row, 'expired'),
  };

  /** The certificate of a pairing was issued. */
  issue({ subject, detail }: AuditedRow): void {
    this.#pairing(String(detail.pairing), (facts) => {
      facts.state = 'issued';
      facts.serial = subject;
      facts.expires_at = detail.not_after!;
      this.#pairingOfSerial.set(subject, String(detail.pairing));
    });
  }

  /** A certificate was used. A pairing may be waiting for that. */
  activate({ subject }: AuditedRow): void {
    this.#pairing(this.#pairingOfSerial.get(subject) ?? '', (facts) => {
      facts.state = 'active';
      delete facts.expires_at;
    });
  }

  #pairing(id: string, change: (facts: Changing) => void): void {
    const facts = this.pairings.get(id);
    if (facts) change(facts);
  }

  #end({ subject, detail }: AuditedRow, state: string): void {
    this.#pairing(subject, (facts) => {
      facts.state = state;
      delete facts.expires_at;
      delete facts.serial;
      if (detail.reason !== undefined) facts.reason = detail.reason;
    });
  }
}
