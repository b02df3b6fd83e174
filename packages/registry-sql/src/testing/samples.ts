// Sample records for tests: valid, all different, and the same in every run.

import type {
  AdmittedDevice,
  AuditEvent,
  AuthorityRecord,
  CertificateRecord,
  Pairing,
  PairingRequest,
  QuarantinedDevice,
  Registry,
  RevokedDevice,
} from '@palyra/identity/registry';
import { type DeviceId, makeUlid, type Ulid } from '@palyra/identity/values';

export const NOW = new Date('2026-03-01T12:00:00.000Z');

let made = 0;

/** A number that no other sample has. */
function next(): number {
  made += 1;
  return made;
}

export function after(milliseconds: number): Date {
  return new Date(NOW.getTime() + milliseconds);
}

export function sampleUlid(): Ulid {
  const random = new Uint8Array(10);
  new DataView(random.buffer).setUint32(6, next());
  return makeUlid(NOW, random);
}

export function sampleHex(bytes: number): string {
  const digits = next().toString(16);
  return `f${digits.padStart(bytes * 2 - 1, '0')}`;
}

export function sampleDevice(change: Partial<AdmittedDevice> = {}): AdmittedDevice {
  return {
    id: sampleUlid(),
    identityKey: new Uint8Array(32).fill(next()),
    name: 'workshop',
    kind: 'node',
    platform: 'linux arm64',
    role: 'device',
    state: 'active',
    createdAt: NOW,
    lastSeenAt: after(1),
    capabilities: ['camera', 'door "front"'],
    hostNames: [],
    labels: [],
    cloneSeenAt: undefined,
    cloneReportedAt: undefined,
    certificateRevokedAt: undefined,
    recovery: undefined,
    ...change,
  };
}

export function quarantinedDevice(change: Partial<QuarantinedDevice> = {}): QuarantinedDevice {
  return { ...sampleDevice(), state: 'quarantined', recovery: undefined, ...change };
}

export function revokedDevice(
  change: Partial<AdmittedDevice> = {},
  revocationReason = 'lost',
): RevokedDevice {
  const { cloneSeenAt, cloneReportedAt, certificateRevokedAt, recovery, ...device } = sampleDevice(change);
  return { ...device, state: 'revoked', revocationReason };
}

export function sampleAuthority(change: Partial<AuthorityRecord> = {}): AuthorityRecord {
  return {
    id: sampleUlid(),
    tier: 'issuing',
    state: 'active',
    serial: sampleHex(16),
    fingerprint: sampleHex(32),
    notBefore: NOW,
    notAfter: after(1000),
    der: new Uint8Array([1, 2, 3]),
    ...change,
  };
}

export function sampleCertificate(
  of: { device: DeviceId; issuer: Ulid },
  change: Partial<CertificateRecord> = {},
): CertificateRecord {
  return {
    serial: sampleHex(16),
    fingerprint: sampleHex(32),
    keySha256: new Uint8Array(Buffer.from(sampleHex(32), 'hex')),
    subject: { kind: 'device', id: of.device },
    state: 'active',
    notBefore: NOW,
    notAfter: after(1000),
    issuerId: of.issuer,
    der: new Uint8Array([4, 5, 6]),
    createdAt: NOW,
    recovered: false,
    renewAt: undefined,
    ...change,
  };
}

export function sampleRequest(change: Partial<PairingRequest> = {}): PairingRequest {
  return {
    deviceId: sampleUlid(),
    identityKey: new Uint8Array(32).fill(next()),
    tlsKey: new Uint8Array(91).fill(next()),
    name: 'workshop',
    kind: 'desktop',
    platform: 'macos arm64',
    words: 'acid bird crane',
    source: '192.0.2.7',
    continuity: 'known',
    failedGuesses: 1,
    sealedAwaitKey: new Uint8Array([9, 8]),
    ...change,
  };
}

function pairingBase() {
  return {
    id: sampleUlid(),
    revision: 0,
    codeKind: 'typed' as const,
    slot: sampleHex(16),
    createdAt: NOW,
    autoApprovedBy: undefined,
    guessesLeft: 3,
    guessesTaken: 0,
  };
}

export type WaitingPairing = Extract<Pairing, { state: 'waiting' }>;

export function waitingPairing(change: Partial<WaitingPairing> = {}): WaitingPairing {
  return {
    ...pairingBase(),
    state: 'waiting',
    expiresAt: after(1000),
    sealedSecret: new Uint8Array([7]),
    ...change,
  };
}

export function expiredPairing(request: Partial<PairingRequest> = {}): Pairing {
  return { ...pairingBase(), state: 'expired', request: sampleRequest(request) };
}

/** One pairing of every shape. */
export function pairingOfEveryShape(): Pairing[] {
  const expiresAt = after(1000);
  return [
    waitingPairing(),
    { ...pairingBase(), state: 'pending_approval', expiresAt, request: sampleRequest() },
    { ...pairingBase(), autoApprovedBy: 'console', state: 'approved', expiresAt, request: sampleRequest() },
    { ...pairingBase(), state: 'issued', expiresAt, request: sampleRequest(), serial: sampleHex(16) },
    { ...pairingBase(), state: 'active', request: sampleRequest(), serial: sampleHex(16) },
    { ...pairingBase(), state: 'rejected', request: sampleRequest(), reason: 'not mine' },
    { ...pairingBase(), state: 'rejected', reason: 'withdrawn' },
    expiredPairing(),
    { ...pairingBase(), state: 'expired' },
    { ...pairingBase(), state: 'exhausted', guessesLeft: 0, guessesTaken: 3 },
  ];
}

export function sampleEvent(change: Partial<AuditEvent> = {}): AuditEvent {
  return { at: NOW, action: 'code.minted', subject: sampleUlid(), detail: { kind: 'typed' }, ...change };
}

/** A device with one certificate, and the authority that issued it. */
export async function addDevice(
  registry: Registry,
  change: { device?: Partial<AdmittedDevice>; certificate?: Partial<CertificateRecord> } = {},
): Promise<{ device: AdmittedDevice; certificate: CertificateRecord }> {
  const device = sampleDevice(change.device);
  const authority = sampleAuthority();
  const certificate = sampleCertificate({ device: device.id, issuer: authority.id }, change.certificate);
  await registry.transact(async (tx) => {
    await tx.insertAuthority(authority);
    await tx.insertDevice(device);
    await tx.insertCertificate(certificate);
  });
  return { device, certificate };
}
