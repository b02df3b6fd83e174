// One change of the registry in PostgreSQL. The head of the ledger is in memory while its row is locked, and written once.

import type {
  AuthorityRecord,
  AuthorityState,
  CertificateState,
  Device,
  Revocation,
} from '@palyra/identity/registry';
import type { Ulid } from '@palyra/identity/values';
import type { CompiledQuery } from 'kysely';
import { SqlTransaction } from '../transaction.ts';
import type { FleetEvent } from './event-body.ts';

export class PostgresTransaction extends SqlTransaction {
  #movesStandings = false;
  #movesAuthorities = false;
  #revocations = 0;

  /** The events for the other daemons. They include changes of a standing without an event for listeners. */
  get told(): readonly FleetEvent[] {
    const told: FleetEvent[] = [...this.events];
    if (this.#movesAuthorities) told.push({ type: 'authorities_changed' });
    else if (this.#movesStandings && told.length === 0) told.push({ type: 'standing_changed' });
    return told;
  }

  /** How many revocations this change has added. */
  get revocationsAdded(): number {
    return this.#revocations;
  }

  /** Changes rows of a table that only PostgreSQL has. @returns how many. */
  changeRows(query: CompiledQuery): Promise<number> {
    return this.executor.run(query);
  }

  override async insertRevocation(revocation: Revocation): Promise<void> {
    await super.insertRevocation(revocation);
    this.#revocations += 1;
  }

  override async updateDevice(device: Device, before?: Device): Promise<void> {
    await super.updateDevice(device, before);
    const isSame =
      before?.state === device.state && before.role === device.role && before.name === device.name;
    if (!isSame) this.#movesStandings = true;
  }

  override async insertDevice(device: Device): Promise<void> {
    await super.insertDevice(device);
    this.#movesStandings = true;
  }

  override async moveCertificate(
    serial: string,
    from: CertificateState,
    to: CertificateState,
  ): Promise<boolean> {
    this.#movesStandings = true;
    return super.moveCertificate(serial, from, to);
  }

  override async insertAuthority(authority: AuthorityRecord): Promise<void> {
    await super.insertAuthority(authority);
    this.#movesAuthorities = true;
  }

  override async moveAuthority(id: Ulid, from: AuthorityState, to: AuthorityState): Promise<boolean> {
    this.#movesAuthorities = true;
    return super.moveAuthority(id, from, to);
  }
}
