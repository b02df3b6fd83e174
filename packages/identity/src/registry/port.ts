// The registry: paired devices, issued certificates and revocations. It owns these facts, and every listener asks it
// for every connection and every call. A write is durable before its promise resolves.

import type { AuditAction, AuditEvent, AuditRow } from '../audit/entry.ts';
import type { DeviceId, Ulid } from '../device-id.ts';
import type { CertificateRecord, CertificateState } from '../fleet/certificate-state.ts';
import type { CloneSign, Device, DeviceKind, DeviceRole } from '../fleet/device.ts';
import type { Pairing, PairingState } from '../pairing/state.ts';

/** The facts for the check of a connection or call, and about the caller, from one indexed read. */
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
  /** Dates of the certificate. */
  readonly renewAtMs: number | undefined;
  readonly issuerId: Ulid;
  readonly issuerState: AuthorityState;
}

export type AuthorityState = 'prepared' | 'active' | 'trusted' | 'retired';

export interface AuthorityRecord {
  readonly id: Ulid;
  readonly tier: 'root' | 'issuing';
  /**
   * In each tier one authority is `active` and signs. A `trusted` one does not sign, but its certificates are still valid; an issuing CA
   * signs again when the one after it is dated in the future. A root may also be `prepared`: devices learn to trust it.
   * A `retired` one is no longer valid. An issuing CA is retired with its root, or set aside alone.
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
  /** The revoked certificate; undefined if the whole device was revoked. */
  readonly serial: string | undefined;
  readonly reason: string;
}

/** The events for listeners and watchers in this process, after the commit, also of changes by other daemons. */
export type RegistryEvent =
  | { readonly type: 'pairing_changed'; readonly pairing: Pairing }
  | { readonly type: 'device_revoked'; readonly deviceId: DeviceId; readonly reason: string }
  | { readonly type: 'device_quarantined'; readonly deviceId: DeviceId }
  | {
      readonly type: 'clone_suspected';
      readonly deviceId: DeviceId;
      readonly name: string;
      /** Serial of the replaced certificate, of the one that made the recovery unnecessary, or of the second agent. */
      readonly serial: string;
      /** Source address. */
      readonly source: string;
      readonly at: Date;
      readonly quarantined: boolean;
      readonly sign: CloneSign;
    }
  | {
      readonly type: 'recovery_asked';
      readonly deviceId: DeviceId;
      readonly name: string;
      /** The reason why the operator must decide. */
      readonly reason: string;
      /** Whether the device is also reported as possibly copied: then a copy may be asking. */
      readonly possibleCopy: boolean;
      readonly source: string;
      readonly at: Date;
    }
  /** The device shall renew this certificate at this time. */
  | {
      readonly type: 'renewal_asked';
      readonly deviceId: DeviceId;
      readonly serial: string;
      readonly renewAt: Date;
    }
  | { readonly type: 'device_role_changed'; readonly deviceId: DeviceId; readonly role: DeviceRole }
  /** The root of this issuing CA was retired, so its certificates are invalid. */
  | { readonly type: 'authority_retired'; readonly issuerId: Ulid }
  /** Another daemon has changed the authorities. */
  | { readonly type: 'authorities_changed' }
  /** This daemon was away for so long that it cannot know what has changed. */
  | { readonly type: 'changes_missed' }
  | { readonly type: 'certificate_revoked'; readonly serial: string; readonly deviceId: DeviceId }
  | { readonly type: 'certificate_superseded'; readonly serial: string; readonly deviceId: DeviceId };

/** Whether this process made the change, or another daemon of the fleet. */
export type EventOrigin = 'here' | 'elsewhere';

export type RegistryListener = (event: RegistryEvent, origin: EventOrigin) => void;

export interface RegistryReads {
  /** The most frequent read: one indexed row by certificate fingerprint. */
  standing(fingerprint: string): Promise<CertificateStanding | undefined>;
  /** The standing by serial. */
  standingBySerial(serial: string): Promise<CertificateStanding | undefined>;
  device(id: DeviceId): Promise<Device | undefined>;
  /** The devices that match every part of the query, in its order. */
  devices(query: DevicesQuery): Promise<Device[]>;
  /** The key of a new device that is already in use: by another device or request, or by any certificate ever made. */
  keyInUse(keys: {
    readonly deviceId: DeviceId;
    readonly identityKey: Uint8Array;
    readonly tlsKey: Uint8Array;
    /** SHA-256 of the TLS key. */
    readonly tlsKeySha256: Uint8Array;
  }): Promise<'identity' | 'tls' | undefined>;
  certificate(
    key: { readonly serial: string } | { readonly fingerprint: string },
  ): Promise<CertificateRecord | undefined>;
  /** All certificates, ordered by serial. */
  certificates(query: { readonly limit: number; readonly after?: string }): Promise<CertificateRecord[]>;
  /** Newest first. */
  certificatesOf(deviceId: DeviceId, limit: number): Promise<CertificateRecord[]>;
  /** Certificates in state `issued` or `active`, including expired ones: one in use, a few unused. Newest first. */
  livingCertificates(deviceId: DeviceId): Promise<CertificateRecord[]>;
  /** Certificates in state `issued`, including expired ones. Newest first. */
  unusedCertificates(deviceId: DeviceId): Promise<Pick<CertificateRecord, 'serial' | 'subject' | 'state'>[]>;
  /** How fast a device got its certificates; one read of a few index entries. */
  certificatePace(query: {
    readonly deviceId: DeviceId;
    readonly burst: number;
    readonly unpaced: number;
  }): Promise<CertificatePace>;
  /**
   * Certificates in state `issued` or `active`, including expired ones, and superseded ones that end after `now`.
   * Unordered.
   */
  revocableCertificates(query: {
    readonly deviceId: DeviceId;
    readonly now: Date;
    readonly limit: number;
  }): Promise<CertificateRecord[]>;
  /**
   * The number of planned renewals for each step of `stepMs`, from `from` up to but not including `to`. Reads one index
   * entry per renewal.
   */
  plannedRenewals(query: {
    readonly from: Date;
    readonly to: Date;
    readonly stepMs: number;
  }): Promise<{ readonly at: Date; readonly count: number }[]>;
  pairing(id: string): Promise<Pairing | undefined>;
  /** The `waiting` pairing with this slot. There is at most one. */
  waitingPairing(slot: string): Promise<Pairing | undefined>;
  /** The `issued` pairing whose certificate has this serial; one indexed read. */
  issuedPairing(serial: string): Promise<Pairing | undefined>;
  /** The device's pairings in state `pending_approval`, `approved` or `issued`. */
  openRequestsOf(deviceId: DeviceId): Promise<Pairing[]>;
  /** Newest first. */
  pairings(query: { readonly states?: readonly PairingState[]; readonly limit: number }): Promise<Pairing[]>;
  /** All pairings, ordered by id. */
  allPairings(query: { readonly limit: number; readonly after?: string }): Promise<Pairing[]>;
  /** Exactly the pairings for which `isDue` is true; oldest end first. */
  duePairings(now: Date, limit: number): Promise<Pairing[]>;
  authorities(): Promise<AuthorityRecord[]>;
  /** The state of each authority, as one text that changes with any of them. Cheaper than `authorities`. */
  authorityStates(): Promise<string>;
  /**
   * Revoked certificates of one issuing CA, for its revocation list, in order of their end and serial. A page starts
   * after the last entry of the previous page. The first page starts at a time with an empty serial: entries end after
   * it.
   */
  revokedCertificates(query: {
    readonly issuerId: Ulid;
    readonly after: { readonly notAfter: Date; readonly serial: string };
    readonly limit: number;
  }): Promise<{ readonly serial: string; readonly revokedAt: Date; readonly notAfter: Date }[]>;
  /**
   * Unrevoked devices without a used certificate from `since` or later: they may lack the roots that came with newer
   * certificates. Without approved devices that never fetched one. Ordered by id. Reads every device.
   */
  devicesBehind(query: { readonly since: Date; readonly limit: number }): Promise<Device[]>;
  /** Creation time of the newest device certificate in state `issued` or `active`. Reads every certificate. */
  newestCertificateAt(): Promise<Date | undefined>;
  revocations(query: { readonly limit: number }): Promise<Revocation[]>;
  /** Revocations of the device itself, and of its certificates. */
  revocationsOf(of: { readonly deviceId: Ulid; readonly serial: string | undefined }): Promise<Revocation[]>;
  setting(name: string): Promise<string | undefined>;
  counts(): Promise<RegistryCounts>;
  /** The number of devices in each state; without states that no device has. Reads an index entry for each device. */
  deviceStates(): Promise<ReadonlyMap<Device['state'], number>>;
  /** Actual numbers of rows, while `counts` returns the stored counter for devices. Reads all rows. */
  rowCounts(): Promise<{ readonly devices: number; readonly revocations: number }>;
  /**
   * Newest first. `subject` and `action` match exactly, `family` the part of an action before its dot. `device` matches
   * every row about a device, its certificates and its pairings.
   */
  audit(query: {
    readonly limit: number;
    readonly before?: number;
    readonly subject?: string;
    readonly device?: DeviceId;
    readonly action?: AuditAction;
    readonly family?: string;
  }): Promise<AuditRow[]>;
  /** The last row as the writer recorded it; seq 0 and AUDIT_GENESIS_HASH before the first. */
  auditHead(): Promise<{ readonly seq: number; readonly hash: string }>;
  /** All rows in order of `seq`, in pages, without blocking the registry. */
  auditRows(): AsyncIterable<AuditRow>;
}

export interface CertificatePace {
  /** The newest certificate. */
  readonly newest: Pick<CertificateRecord, 'createdAt' | 'renewAt'> | undefined;
  /** When the certificate was made that is number `burst`, counted from the newest; undefined if there are fewer. */
  readonly burstBeganAt: Date | undefined;
  /** End of the certificate that is number `unpaced`, counted from the newest; undefined if there are fewer. */
  readonly unpacedEndsAt: Date | undefined;
}

export interface DevicesQuery {
  readonly limit: number;
  /** The id of the device after which the page starts. */
  readonly after?: string;
  /** With an order other than `id`: the name, time or end of that device; 0 for no contact, the highest number for no end. */
  readonly afterKey?: string | number;
  /** Default: by id, the oldest first. The others sort all devices that match. */
  readonly order?: DeviceOrder;
  /** Part of the name (ignoring case) or the start of the id. */
  readonly search?: string;
  readonly states?: readonly Device['state'][];
  readonly kinds?: readonly DeviceKind[];
  /** The device has all of them. */
  readonly labels?: readonly string[];
  /** Devices whose present certificate ends by then. Devices without one, such as revoked devices, are left out. */
  readonly endsBy?: Date;
  /** Leaves out devices that were revoked before. */
  readonly revokedSince?: Date;
}

/** `name`: A to Z. `seen`: the latest contact first. `expiry`: the certificate that ends first is first. */
export type DeviceOrder = 'id' | 'name' | 'seen' | 'expiry';

/** A read-only snapshot of a registry, whatever is written meanwhile. */
export interface RegistryReader extends RegistryReads {
  close(): Promise<void>;
}

export interface RegistryCounts {
  readonly devices: number;
  readonly pendingRequests: number;
  readonly waitingCodes: number;
}

/**
 * One change. It commits as a whole or not at all. `work` may await only the transaction itself: cryptography and IO
 * must come before it.
 */
export interface RegistryTransaction extends RegistryReads {
  // Devices, certificates and revocations: fleet/change.ts is the only caller.
  insertDevice(device: Device): Promise<void>;
  /**
   * Replaces the row with this id.
   * @param before as this change read it. Without it, the device counts as one whose standing has changed.
   * @throws DEVICE_NOT_FOUND
   */
  updateDevice(device: Device, before?: Device): Promise<void>;
  /** @throws KEY_IN_USE if another certificate has this key. */
  insertCertificate(certificate: CertificateRecord): Promise<void>;
  /** Compare and set. False when the certificate is not in state `from`. */
  moveCertificate(serial: string, from: CertificateState, to: CertificateState): Promise<boolean>;
  insertRevocation(revocation: Revocation): Promise<void>;
  /** Sets when the device shall renew the certificate. */
  planRenewal(serial: string, renewAt: Date): Promise<void>;

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
  /** Sends an event to subscribers, only after the commit. */
  emit(event: RegistryEvent): void;
}

/** The newest revocation list of each authority, for all daemons of a fleet: no two publish different sequences. */
export interface SharedLists {
  /** How many revocations there are now, and what the newest list of this authority is. */
  head(issuerId: Ulid): Promise<SharedListHead>;
  read(issuerId: Ulid): Promise<SharedList | undefined>;
  /** Stores it, unless there is one with a higher number. */
  write(issuerId: Ulid, list: SharedList): Promise<void>;
}

export interface SharedListHead {
  /** Grows with every revocation. */
  readonly epoch: number;
  readonly list: Omit<SharedList, 'der'> | undefined;
}

export interface SharedList {
  readonly number: number;
  /** It has every revocation of this epoch. */
  readonly epoch: number;
  readonly remakeAtMs: number;
  readonly nextUpdateMs: number;
  readonly der: Uint8Array;
}

export interface Registry extends RegistryReads {
  /** Serialised: one change at a time. Throws what `work` throws, or STORE_FULL, STORE_FAILED; then nothing changed. */
  transact<T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T>;
  /**
   * Increases with every change that this process has made or heard of. While it does not change, standings that were
   * read outside a change are as valid as the last `upToDate`.
   */
  readonly changes: number;
  /**
   * Resolves when listeners here have heard of every change that was committed before this call, by whatever daemon.
   * Undefined if only this process makes changes: then they have heard already.
   * @throws errors of the database. Then nothing that is remembered may be believed.
   */
  upToDate(): Promise<void> | undefined;
  /** Whether other daemons change it too. */
  readonly isShared: boolean;
  /** The revocation lists that daemons share. Undefined if this process has the registry alone. */
  readonly sharedLists: SharedLists | undefined;
  /** A snapshot of the present state. Close it before the registry. */
  snapshot(): Promise<RegistryReader>;
  /**
   * For work that must follow a change at once: closing connections, dropping caches. Runs before every subscriber.
   * @returns a function that removes the listener.
   */
  enforce(listener: RegistryListener): () => void;
  /**
   * For all other listeners.
   * @returns a function that removes the listener. An error in one does not affect the others.
   */
  subscribe(listener: RegistryListener): () => void;
  close(): Promise<void>;
}
