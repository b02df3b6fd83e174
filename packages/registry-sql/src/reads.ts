// The registry's reads in SQL. Each is one statement, so each sees one snapshot.

import {
  type AuditRow,
  type AuthorityRecord,
  type CertificatePace,
  type CertificateRecord,
  type CertificateStanding,
  type Device,
  type DevicesQuery,
  dueBounds,
  type Pairing,
  type PairingState,
  type RegistryCounts,
  type RegistryReads,
  type Revocation,
} from '@palyra/identity/registry';
import type { DeviceId, Ulid } from '@palyra/identity/values';
import type { CompiledQuery } from 'kysely';
import type { Executor } from './executor.ts';
import { readAuditRow } from './rows/audit.ts';
import { readAuthority } from './rows/authority.ts';
import { readCertificate, readCertificateState, readPace, readStanding } from './rows/certificate.ts';
import { instant, integer, milliseconds, oneOf, type Row, text, unreadable } from './rows/column.ts';
import { deviceState, readDevice } from './rows/device.ts';
import { readPairing } from './rows/pairing.ts';
import { readRevocation } from './rows/revocation.ts';
import type { Statements } from './statements.ts';

const AUDIT_PAGE_ROWS = 500;

export class SqlReads implements RegistryReads {
  protected readonly executor: Executor;
  protected readonly statements: Statements;

  constructor(executor: Executor, statements: Statements) {
    this.executor = executor;
    this.statements = statements;
  }

  standing(fingerprint: string): Promise<CertificateStanding | undefined> {
    return this.#one(this.statements.standing({ fingerprint }), readStanding);
  }

  standingBySerial(serial: string): Promise<CertificateStanding | undefined> {
    return this.#one(this.statements.standingBySerial({ serial }), readStanding);
  }

  device(id: DeviceId): Promise<Device | undefined> {
    return this.#one(this.statements.device({ id }), readDevice);
  }

  async keyInUse(keys: {
    deviceId: DeviceId;
    identityKey: Uint8Array;
    tlsKey: Uint8Array;
    tlsKeySha256: Uint8Array;
  }): Promise<'identity' | 'tls' | undefined> {
    const { deviceId, identityKey, tlsKey, tlsKeySha256 } = keys;
    const query = this.statements.keyInUse({
      device_id: deviceId,
      identity_key: identityKey,
      tls_key: tlsKey,
      tls_key_sha256: tlsKeySha256,
    });
    return this.#one(query, (row) => keyName(row, 'key'));
  }

  async devices(query: DevicesQuery): Promise<Device[]> {
    const { states, kinds } = query;
    // Not every database accepts an empty list.
    if (states?.length === 0 || kinds?.length === 0) return [];
    return this.#many(this.statements.devices({ ...query, limit: checked(query.limit) }), readDevice);
  }

  certificate(key: { serial: string } | { fingerprint: string }): Promise<CertificateRecord | undefined> {
    const query =
      'serial' in key
        ? this.statements.certificateBySerial({ serial: key.serial })
        : this.statements.certificateByFingerprint({ fingerprint: key.fingerprint });
    return this.#one(query, readCertificate);
  }

  async certificates({ limit, after = '' }: { limit: number; after?: string }): Promise<CertificateRecord[]> {
    return this.#many(this.statements.certificates({ after, limit: checked(limit) }), readCertificate);
  }

  async certificatesOf(deviceId: DeviceId, limit: number): Promise<CertificateRecord[]> {
    const values = { device_id: deviceId, limit: checked(limit) };
    return this.#many(this.statements.certificatesOf(values), readCertificate);
  }

  livingCertificates(deviceId: DeviceId): Promise<CertificateRecord[]> {
    return this.#many(this.statements.livingCertificates({ device_id: deviceId }), readCertificate);
  }

  unusedCertificates(deviceId: DeviceId): Promise<Pick<CertificateRecord, 'serial' | 'subject' | 'state'>[]> {
    return this.#many(this.statements.unusedCertificates({ device_id: deviceId }), readCertificateState);
  }

  async certificatePace(query: {
    deviceId: DeviceId;
    burst: number;
    unpaced: number;
  }): Promise<CertificatePace> {
    const { deviceId, burst, unpaced } = query;
    const values = {
      device_id: deviceId,
      before_burst: checked(burst - 1),
      before_unpaced: checked(unpaced - 1),
    };
    const pace = await this.#one(this.statements.certificatePace(values), readPace);
    return pace ?? unreadable('certificates', null);
  }

  async revocableCertificates(query: {
    deviceId: DeviceId;
    now: Date;
    limit: number;
  }): Promise<CertificateRecord[]> {
    const { deviceId, now, limit } = query;
    const values = { device_id: deviceId, now: milliseconds(now), limit: checked(limit) };
    return this.#many(this.statements.revocableCertificates(values), readCertificate);
  }

  async plannedRenewals(query: {
    from: Date;
    to: Date;
    stepMs: number;
  }): Promise<{ at: Date; count: number }[]> {
    const { from, to, stepMs } = query;
    const values = { from: milliseconds(from), to: milliseconds(to), step: checked(stepMs) };
    return this.#many(this.statements.plannedRenewals(values), (row) => ({
      at: new Date(integer(row, 'step') * stepMs),
      count: integer(row, 'number'),
    }));
  }

  pairing(id: string): Promise<Pairing | undefined> {
    return this.#one(this.statements.pairing({ id }), readPairing);
  }

  waitingPairing(slot: string): Promise<Pairing | undefined> {
    return this.#one(this.statements.waitingPairing({ slot }), readPairing);
  }

  issuedPairing(serial: string): Promise<Pairing | undefined> {
    return this.#one(this.statements.issuedPairing({ serial }), readPairing);
  }

  openRequestsOf(deviceId: Ulid): Promise<Pairing[]> {
    return this.#many(this.statements.openRequestsOf({ device_id: deviceId }), readPairing);
  }

  async pairings(query: { states?: readonly PairingState[]; limit: number }): Promise<Pairing[]> {
    const { states } = query;
    // Not every database accepts an empty list.
    if (states?.length === 0) return [];
    return this.#many(this.statements.pairings({ states, limit: checked(query.limit) }), readPairing);
  }

  async allPairings({ limit, after = '' }: { limit: number; after?: string }): Promise<Pairing[]> {
    return this.#many(this.statements.allPairings({ after, limit: checked(limit) }), readPairing);
  }

  async duePairings(now: Date, limit: number): Promise<Pairing[]> {
    const { endedBy, madeAfter } = dueBounds(now);
    const bounds = { ended_by: milliseconds(endedBy), made_after: milliseconds(madeAfter) };
    return this.#many(this.statements.duePairings({ ...bounds, limit: checked(limit) }), readPairing);
  }

  authorities(): Promise<AuthorityRecord[]> {
    return this.#many(this.statements.authorities({}), readAuthority);
  }

  async authorityStates(): Promise<string> {
    const states = await this.#many(
      this.statements.authorityStates({}),
      (row) => `${text(row, 'id')} ${text(row, 'state')}`,
    );
    return states.join();
  }

  async revokedCertificates(query: {
    issuerId: Ulid;
    after: { notAfter: Date; serial: string };
    limit: number;
  }): Promise<{ serial: string; revokedAt: Date; notAfter: Date }[]> {
    const { issuerId, after, limit } = query;
    const values = {
      issuer_id: issuerId,
      not_after: milliseconds(after.notAfter),
      serial: after.serial,
      limit: checked(limit),
    };
    return this.#many(this.statements.revokedCertificates(values), (row) => ({
      serial: text(row, 'serial'),
      revokedAt: instant(row, 'at'),
      notAfter: instant(row, 'not_after'),
    }));
  }

  async devicesBehind(query: { since: Date; limit: number }): Promise<Device[]> {
    const values = { since: milliseconds(query.since), limit: checked(query.limit) };
    return this.#many(this.statements.devicesBehind(values), readDevice);
  }

  newestCertificateAt(): Promise<Date | undefined> {
    return this.#one(this.statements.newestCertificateAt({}), (row) => instant(row, 'created_at'));
  }

  async revocations(query: { limit: number }): Promise<Revocation[]> {
    return this.#many(this.statements.revocations({ limit: checked(query.limit) }), readRevocation);
  }

  revocationsOf({ deviceId, serial }: { deviceId: Ulid; serial: string | undefined }): Promise<Revocation[]> {
    const query =
      serial === undefined
        ? this.statements.revocationsOfDevice({ device_id: deviceId })
        : this.statements.revocationsOfCertificate({ device_id: deviceId, serial });
    return this.#many(query, readRevocation);
  }

  setting(name: string): Promise<string | undefined> {
    return this.#one(this.statements.setting({ name }), (row) => text(row, 'value'));
  }

  async counts(): Promise<RegistryCounts> {
    const counts = await this.#one(this.statements.counts({}), (row) => ({
      devices: integer(row, 'devices'),
      pendingRequests: integer(row, 'pending'),
      waitingCodes: integer(row, 'waiting'),
    }));
    return counts ?? unreadable('ledger', null);
  }

  async deviceStates(): Promise<ReadonlyMap<Device['state'], number>> {
    const rows = await this.#many(
      this.statements.deviceStates({}),
      (row) => [deviceState(row, 'state'), integer(row, 'number')] as const,
    );
    return new Map(rows);
  }

  async rowCounts(): Promise<{ devices: number; revocations: number }> {
    const counts = await this.#one(this.statements.rowCounts({}), (row) => ({
      devices: integer(row, 'devices'),
      revocations: integer(row, 'revocations'),
    }));
    return counts ?? unreadable('ledger', null);
  }

  async audit(query: Parameters<RegistryReads['audit']>[0]): Promise<AuditRow[]> {
    return this.#many(this.statements.audit({ ...query, limit: checked(query.limit) }), readAuditRow);
  }

  async auditHead(): Promise<{ seq: number; hash: string }> {
    const head = await this.#one(this.statements.auditHead({}), (row) => ({
      seq: integer(row, 'audit_seq'),
      hash: text(row, 'audit_hash'),
    }));
    return head ?? unreadable('ledger', null);
  }

  async *auditRows(): AsyncIterable<AuditRow> {
    let page: AuditRow[];
    let seq = 0;
    do {
      page = await this.#many(this.statements.auditAfter({ seq, limit: AUDIT_PAGE_ROWS }), readAuditRow);
      yield* page;
      seq = page.at(-1)?.seq ?? seq;
    } while (page.length === AUDIT_PAGE_ROWS);
  }

  async #one<T>(query: CompiledQuery<Row>, read: (row: Row) => T): Promise<T | undefined> {
    const [row] = await this.executor.all(query);
    return row && read(row);
  }

  async #many<T>(query: CompiledQuery<Row>, read: (row: Row) => T): Promise<T[]> {
    return (await this.executor.all(query)).map(read);
  }
}

const keyName = oneOf<'identity' | 'tls'>({ identity: 1, tls: 1 });

function checked(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 0) throw new TypeError('a limit is a whole number, 0 or more');
  return limit;
}
