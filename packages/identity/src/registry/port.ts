// The registry: who is paired, what was issued, what is revoked. One owner of these facts; every listener asks it for
// every connection and every call. A write is durable before its promise resolves.

import type { AuditAction, AuditEvent, AuditRow } from '../audit/entry.ts';
import type { DeviceId, Ulid } from '../device-id.ts';
import type { CertificateRecord, CertificateState } from '../fleet/certificate-state.ts';
import type { CloneSign, Device, DeviceRole } from '../fleet/device.ts';
import type { Pairing, PairingState } from '../pairing/state.ts';

/** What the check of a connection or call needs, and what a call is told of its caller; from one indexed read. */
export interface CertificateStanding {
  readonly serial: string;
  readonly subjectKind: 'device' | 'daemon';
  readonly subjectId: Ulid;
  readonly certificateState: CertificateState;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Undefined for a daemon certificate. */
  readonly deviceState: Device['state'] | undefined;
  /** Undefined for a daemon certificate. */
  readonly deviceRole: DeviceRole | undefined;
  /** Undefined for a daemon certificate. */
  readonly deviceName: string | undefined;
  /** As in the record. */
  readonly renewAtMs: number | undefined;
  readonly issuerId: Ulid;
  readonly issuerState: AuthorityState;
}

export type AuthorityState = 'prepared' | 'active' | 'trusted' | 'retired';

export interface AuthorityRecord {
  readonly id: Ulid;
  readonly tier: 'root' | 'issuing';
  /**
   * Of each tier one is `active` and signs. `trusted` does not sign, but what it signed still counts; an issuing CA signs
   * again when the one after it is dated in the future. A root may also be `prepared`: devices learn to trust it. `retired`
   * counts for nothing. An issuing CA is retired with its root, or set aside alone.
   */
  readonly state: AuthorityState;
  readonly serial: string;
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly der: Uint8Array;
}

export interface Revocation {
  readonly at: Date;
  readonly deviceId: DeviceId;
  /** The one certificate that was revoked; undefined when it was the device. */
  readonly serial: string | undefined;
  readonly reason: string;
}

/** What listeners and watchers are told, in process, after the commit. */
export type RegistryEvent =
  | { readonly type: 'pairing_changed'; readonly pairing: Pairing }
  | { readonly type: 'device_revoked'; readonly deviceId: DeviceId }
  | { readonly type: 'device_quarantined'; readonly deviceId: DeviceId }
  | {
      readonly type: 'clone_suspected';
      readonly deviceId: DeviceId;
      readonly name: string;
      /** Of the replaced certificate, of the one that made the recovery unnecessary, or of the second agent. */
      readonly serial: string;
      /** Address that it came from. */
      readonly source: string;
      readonly at: Date;
      readonly quarantined: boolean;
      readonly sign: CloneSign;
    }
  | {
      readonly type: 'recovery_asked';
      readonly deviceId: DeviceId;
      readonly name: string;
      /** Why the operator must decide. */
      readonly reason: string;
      /** It is also reported as possibly copied: whoever holds the identity key asks. */
      readonly possibleCopy: boolean;
      readonly source: string;
      readonly at: Date;
    }
  | { readonly type: 'device_role_changed'; readonly deviceId: DeviceId; readonly role: DeviceRole }
  /** The root of this issuing CA was retired: what it issued counts for nothing. */
  | { readonly type: 'authority_retired'; readonly issuerId: Ulid }
  | { readonly type: 'certificate_revoked'; readonly serial: string; readonly deviceId: DeviceId }
  | { readonly type: 'certificate_superseded'; readonly serial: string; readonly deviceId: DeviceId };

export interface RegistryReads {
  /** The hot read: one indexed row by certificate fingerprint. */
  standing(fingerprint: string): Promise<CertificateStanding | undefined>;
  /** The same by serial, for who is known by that. */
  standingBySerial(serial: string): Promise<CertificateStanding | undefined>;
  device(id: DeviceId): Promise<Device | undefined>;
  /** Ordered by id. `search` matches part of the name (ignoring case) or the start of the id. */
  devices(query: {
    readonly limit: number;
    readonly after?: string;
    readonly search?: string;
  }): Promise<Device[]>;
  /** Which of a new device's keys something else has: another device or its request, or any certificate there ever was. */
  keyInUse(keys: {
    readonly deviceId: DeviceId;
    readonly identityKey: Uint8Array;
    readonly tlsKey: Uint8Array;
    /** Of the TLS key. */
    readonly tlsKeySha256: Uint8Array;
  }): Promise<'identity' | 'tls' | undefined>;
  certificate(
    key: { readonly serial: string } | { readonly fingerprint: string },
  ): Promise<CertificateRecord | undefined>;
  /** Every one, ordered by serial. */
  certificates(query: { readonly limit: number; readonly after?: string }): Promise<CertificateRecord[]>;
  /** Newest first. */
  certificatesOf(deviceId: DeviceId, limit: number): Promise<CertificateRecord[]>;
  /** Those in state `issued` or `active`, ended ones included: one in use, a few that were never used. Newest first. */
  livingCertificates(deviceId: DeviceId): Promise<CertificateRecord[]>;
  /** When the certificate of a device ends that as many newer ones as `newer` came after; undefined when it has no more. */
  endOfOlderCertificate(deviceId: DeviceId, newer: number): Promise<Date | undefined>;
  /** Those in state `issued` or `active`, ended ones included, and superseded ones that end after `now`. In no order. */
  revocableCertificates(query: {
    readonly deviceId: DeviceId;
    readonly now: Date;
    readonly limit: number;
  }): Promise<CertificateRecord[]>;
  /**
   * How many certificates were asked to be renewed at each time, in steps that begin at multiples of `stepMs`, for those
   * from `from` on and before `to`. Reads one index entry for each.
   */
  plannedRenewals(query: {
    readonly from: Date;
    readonly to: Date;
    readonly stepMs: number;
  }): Promise<{ readonly at: Date; readonly count: number }[]>;
  pairing(id: string): Promise<Pairing | undefined>;
  /** The `waiting` pairing that this slot names. At most one can exist. */
  waitingPairing(slot: string): Promise<Pairing | undefined>;
  /** The `issued` pairing whose certificate has this serial; one indexed read. */
  issuedPairing(serial: string): Promise<Pairing | undefined>;
  /** Newest first. */
  pairings(query: { readonly states?: readonly PairingState[]; readonly limit: number }): Promise<Pairing[]>;
  /** Every one, ordered by id. */
  allPairings(query: { readonly limit: number; readonly after?: string }): Promise<Pairing[]>;
  /** Exactly those of which `isDue` says so; oldest end first. */
  duePairings(now: Date, limit: number): Promise<Pairing[]>;
  authorities(): Promise<AuthorityRecord[]>;
  /**
   * Revoked certificates of one issuing CA, for its revocation list, in order of their end and serial. A page begins after
   * the last of the one before; the first with a time and an empty serial, after which they end.
   */
  revokedCertificates(query: {
    readonly issuerId: Ulid;
    readonly after: { readonly notAfter: Date; readonly serial: string };
    readonly limit: number;
  }): Promise<{ readonly serial: string; readonly revokedAt: Date; readonly notAfter: Date }[]>;
  /**
   * Devices that are not revoked and use no certificate made at or after `since`: they may not have what was handed out
   * with certificates from then on. Ordered by id. Reads every device.
   */
  devicesBehind(query: { readonly since: Date; readonly limit: number }): Promise<Device[]>;
  /** When the newest device certificate was made that is in use or was never used. Reads every certificate. */
  newestCertificateAt(): Promise<Date | undefined>;
  revocations(query: { readonly limit: number }): Promise<Revocation[]>;
  /** Of the device as a whole, or of one certificate of it. */
  revocationsOf(of: { readonly deviceId: Ulid; readonly serial: string | undefined }): Promise<Revocation[]>;
  setting(name: string): Promise<string | undefined>;
  counts(): Promise<RegistryCounts>;
  /** Rows as they are, while `counts` tells of devices what was counted. Reads them all. */
  rowCounts(): Promise<{ readonly devices: number; readonly revocations: number }>;
  /** Newest first. `subject` and `action` match exactly. */
  audit(query: {
    readonly limit: number;
    readonly before?: number;
    readonly subject?: string;
    readonly action?: AuditAction;
  }): Promise<AuditRow[]>;
  /** The last row as the writer recorded it; seq 0 and AUDIT_GENESIS_HASH before the first. */
  auditHead(): Promise<{ readonly seq: number; readonly hash: string }>;
  /** Every row in order of `seq`, in pages; does not hold the registry. */
  auditRows(): AsyncIterable<AuditRow>;
}

/** A registry that is only looked at: one moment of it, whatever is written meanwhile. */
export interface RegistryReader extends RegistryReads {
  close(): Promise<void>;
}

export interface RegistryCounts {
  readonly devices: number;
  readonly pendingRequests: number;
  readonly waitingCodes: number;
}

/**
 * One change. Everything in it commits together or not at all. `work` may await only the transaction itself: crypto and
 * IO come before it.
 */
export interface RegistryTransaction extends RegistryReads {
  // Devices, certificates and revocations: fleet/change.ts is the only caller.
  insertDevice(device: Device): Promise<void>;
  /** Replaces the row with this id. Throws DEVICE_NOT_FOUND. */
  updateDevice(device: Device): Promise<void>;
  /** Throws KEY_IN_USE when another certificate has its key. */
  insertCertificate(certificate: CertificateRecord): Promise<void>;
  /** Compare and set. False when the certificate is not in state `from`. */
  moveCertificate(serial: string, from: CertificateState, to: CertificateState): Promise<boolean>;
  insertRevocation(revocation: Revocation): Promise<void>;

  // Everything else.
  insertPairing(pairing: Pairing): Promise<void>;
  /** Compare and set on `revision`: stores `next` with revision + 1. Throws PAIRING_STATE_CONFLICT when it moved. */
  replacePairing(previous: Pairing, next: Pairing): Promise<Pairing>;
  insertAuthority(authority: AuthorityRecord): Promise<void>;
  /** Compare and set. False when the authority is not in state `from`. */
  moveAuthority(id: Ulid, from: AuthorityState, to: AuthorityState): Promise<boolean>;
  putSetting(name: string, value: string): Promise<void>;
  /** Adds a row to the audit chain. */
  appendAudit(event: AuditEvent): Promise<void>;
  /** Told to subscribers after the commit, and only then. */
  emit(event: RegistryEvent): void;
}

export interface Registry extends RegistryReads {
  /** Serialised: one change at a time. Throws what `work` throws, or STORE_FULL, STORE_FAILED; then nothing changed. */
  transact<T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T>;
  /** Moves with every commit, in the same moment: while it stands still, what was read outside a change still holds. */
  readonly changes: number;
  /** As it is now. To be closed before the registry. */
  snapshot(): Promise<RegistryReader>;
  /**
   * For what must hold as soon as a change is made: closing connections, forgetting what was remembered. Told before every
   * subscriber. Returns the function that ends it.
   */
  enforce(listener: (event: RegistryEvent) => void): () => void;
  /** For everything else that looks on. Returns the function that ends it. What a listener throws disturbs no other one. */
  subscribe(listener: (event: RegistryEvent) => void): () => void;
  close(): Promise<void>;
}
