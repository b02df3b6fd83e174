// One change of the registry in SQL. The caller begins, commits and rolls back the transaction. The head of the audit is
// in memory during a commit, and written once.

import { IdentityError } from '@palyra/identity';
import type {
  AuditEvent,
  AuthorityRecord,
  AuthorityState,
  CertificateRecord,
  CertificateState,
  Device,
  Pairing,
  RegistryEvent,
  RegistryTransaction,
  Revocation,
} from '@palyra/identity/registry';
import { deviceNotFound } from '@palyra/identity/registry';
import type { Ulid } from '@palyra/identity/values';
import type { Executor } from './executor.ts';
import { SqlReads } from './reads.ts';
import { nextAuditRow } from './rows/audit.ts';
import { authorityRow } from './rows/authority.ts';
import { certificateRow } from './rows/certificate.ts';
import { milliseconds } from './rows/column.ts';
import { deviceRow } from './rows/device.ts';
import { pairingRow } from './rows/pairing.ts';
import { revocationRow } from './rows/revocation.ts';
import type { Statements } from './statements.ts';

export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export class SqlTransaction extends SqlReads implements RegistryTransaction {
  /** Events for subscribers after the commit. */
  readonly events: RegistryEvent[] = [];
  #head: AuditHead;

  /** @param head of the audit before the change. The caller writes the head after all changes of a commit. */
  constructor(executor: Executor, statements: Statements, head: AuditHead) {
    super(executor, statements);
    this.#head = head;
  }

  get head(): AuditHead {
    return this.#head;
  }

  async insertDevice(device: Device): Promise<void> {
    await this.executor.run(this.statements.insertDevice(deviceRow(device)));
    await this.executor.run(this.statements.countDevice({}));
  }

  async updateDevice(device: Device, _before?: Device): Promise<void> {
    const changed = await this.executor.run(this.statements.updateDevice(deviceRow(device)));
    if (changed === 0) throw deviceNotFound(device.id);
  }

  async insertCertificate(certificate: CertificateRecord): Promise<void> {
    if ((await this.executor.run(this.statements.insertCertificate(certificateRow(certificate)))) === 0) {
      throw new IdentityError(
        'KEY_IN_USE',
        'The TLS key was certified before. Every certificate needs a new key: make one and ask again.',
      );
    }
  }

  async moveCertificate(serial: string, from: CertificateState, to: CertificateState): Promise<boolean> {
    return (await this.executor.run(this.statements.moveCertificate({ serial, from, to }))) === 1;
  }

  async planRenewal(serial: string, renewAt: Date): Promise<void> {
    await this.executor.run(this.statements.planRenewal({ serial, renew_at: milliseconds(renewAt) }));
  }

  async insertPairing(pairing: Pairing): Promise<void> {
    // On a conflict the statement does nothing, because an error would end the whole transaction.
    if ((await this.executor.run(this.statements.insertPairing(pairingRow(pairing)))) === 0) {
      throw new IdentityError(
        'PAIRING_STATE_CONFLICT',
        `Pairing ${pairing.id} cannot be added: its id or its code's slot ${pairing.slot} is in use. Make another code.`,
      );
    }
  }

  async replacePairing(previous: Pairing, next: Pairing): Promise<Pairing> {
    if (next.id !== previous.id) throw new TypeError('a pairing can only be replaced by its own next state');
    const stored = { ...next, revision: previous.revision + 1 };
    const values = { ...pairingRow(stored), previous_revision: previous.revision };
    if ((await this.executor.run(this.statements.replacePairing(values))) === 0) {
      throw new IdentityError(
        'PAIRING_STATE_CONFLICT',
        `Something else changed pairing ${previous.id} at the same time. Check its state and try again.`,
      );
    }
    return stored;
  }

  async insertAuthority(authority: AuthorityRecord): Promise<void> {
    await this.executor.run(this.statements.insertAuthority(authorityRow(authority)));
  }

  async moveAuthority(id: Ulid, from: AuthorityState, to: AuthorityState): Promise<boolean> {
    return (await this.executor.run(this.statements.moveAuthority({ id, from, to }))) === 1;
  }

  async insertRevocation(revocation: Revocation): Promise<void> {
    await this.executor.run(this.statements.insertRevocation(revocationRow(revocation)));
  }

  async putSetting(name: string, value: string): Promise<void> {
    await this.executor.run(this.statements.putSetting({ name, value }));
  }

  async appendAudit(event: AuditEvent): Promise<void> {
    const row = nextAuditRow(event, this.#head);
    await this.executor.run(this.statements.insertAudit(row));
    this.#head = { seq: row.seq, hash: row.hash };
  }

  override async auditHead(): Promise<AuditHead> {
    // A finished transaction throws.
    await this.executor.all(this.statements.auditHead({}));
    return this.#head;
  }

  emit(event: RegistryEvent): void {
    this.events.push(event);
  }
}
