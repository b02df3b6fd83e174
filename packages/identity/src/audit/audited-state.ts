// Replays the audit rows: the contents that each table must have if nobody wrote to it from outside.

import { AuditedAuthorities } from './audited-authorities.ts';
import { AuditedFleet } from './audited-fleet.ts';
import { AuditedPairings } from './audited-pairings.ts';
import { AuditedPasskeys } from './audited-passkeys.ts';
import type { AuditedRow } from './audited-row.ts';
import type { AuditAction, AuditRow } from './entry.ts';

/**
 * The state of one part of the registry: a share of the devices, certificates and pairings. A registry of any size is
 * thus compared in parts that fit in memory. Authorities and settings are few, so every part has all of them.
 */
export class AuditedState {
  readonly #part: number;
  readonly #parts: number;
  readonly #fleet = new AuditedFleet((id) => this.holds(id));
  readonly #pairings = new AuditedPairings((id) => this.holds(id));
  readonly #authorities = new AuditedAuthorities();
  readonly devices = this.#fleet.devices;
  readonly certificates = this.#fleet.certificates;
  readonly pairings = this.#pairings.pairings;
  readonly authorities = this.#authorities.authorities;
  readonly settings = this.#authorities.settings;

  constructor(part: number, parts: number) {
    this.#part = part;
    this.#parts = parts;
  }

  /** Whether this id belongs to this part. A certificate belongs to the part of its device. */
  holds(id: string): boolean {
    if (this.#parts === 1) return true;
    let sum = 0;
    for (let at = 0; at < id.length; at += 1) sum = (Math.imul(sum, 31) + id.charCodeAt(at)) >>> 0;
    return sum % this.#parts === this.#part;
  }

  /** Call it for each row, in order of `seq`. */
  apply({ action, seq, atMs, subject, detailJson }: AuditRow): void {
    if (Object.hasOwn(this.#changes, action))
      this.#changes[action as AuditAction]({ seq, atMs, subject, detail: JSON.parse(detailJson) });
  }

  /** Drops everything except authorities and settings, which are in every part. */
  forget(): void {
    this.devices.clear();
    this.certificates.clear();
    this.#pairings.forget();
  }

  // A record, so that the compiler reports a missing action.
  readonly #changes: Readonly<Record<AuditAction, (row: AuditedRow) => void>> = {
    ...this.#authorities.changes,
    ...this.#pairings.changes,
    ...this.#fleet.changes,
    ...new AuditedPasskeys(this.settings).changes,
    'capability.executed': () => {},
    'daemon.forgotten': () => {},
    'operator.passkey_used': () => {},

    // Actions that affect a pairing and its device.
    'request.approved': (row) => {
      this.#pairings.changes['request.approved'](row);
      this.#fleet.approve(row);
    },
    'certificate.issued': (row) => {
      this.#fleet.changes['certificate.issued'](row);
      this.#pairings.issue(row);
    },
    'certificate.activated': (row) => {
      this.#fleet.changes['certificate.activated'](row);
      this.#pairings.activate(row);
    },
  };
}
