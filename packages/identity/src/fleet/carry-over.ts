// What a restore must not forget. A backup is the past; whatever was refused since it was made stays refused, taken over
// from the registry that it replaces. Only refusals are taken over: what was granted since is granted anew by the operator.
//
// Each function below looks at every state there is, so that the compiler finds the one that was forgotten here.

import { certificateFacts, deviceFacts } from '../audit/audited-facts.ts';
import { retireRootsAgain } from '../authority/root-rotation.ts';
import type { Clock } from '../clock.ts';
import { type DeviceId, parseDeviceId } from '../device-id.ts';
import { listedAfterEndMs } from '../limits.ts';
import { revokeAllCertificates } from '../pairing/desk.ts';
import type { Registry, RegistryReader, RegistryTransaction } from '../registry/port.ts';
import type { CertificateRecord } from './certificate-state.ts';
import type { Device } from './device.ts';

const pageSize = 500;
const restoreReason = 'revoked before the restore';

export interface CarryOverOptions {
  /** As it was when the backup was made. Nobody else has it open. */
  readonly registry: Registry;
  /** The time at which the facts are carried over. */
  readonly clock: Clock;
}

type History = 'newer' | 'another';

/**
 * Takes over every refusal.
 * @param before the registry of the same daemon that is replaced.
 * @param history whether it goes on from the backup. Of another one nobody knows which key of a device is the later one.
 * @returns the devices that were revoked again.
 * @throws ROTATION_CONFLICT when the backup knows no root that still counts.
 */
export async function carryOver(
  options: CarryOverOptions,
  before: RegistryReader,
  history: History,
): Promise<DeviceId[]> {
  const { registry, clock } = options;
  const now = clock.now();
  const authorities = await before.authorities();
  await registry.transact((tx) => retireRootsAgain(tx, authorities, now));
  const revoked = await carryDevices(options, before, history, now);
  await carryCertificates(options, before, now);
  return revoked;
}

/** Where nobody can say what was taken away or used up since: operators and recoveries are allowed anew. */
export async function takeEveryGrant({ registry, clock }: CarryOverOptions): Promise<void> {
  const now = clock.now();
  for await (const page of pagesOf((after) => registry.devices({ limit: pageSize, after }), 'id')) {
    const changes = page.map((known) => ({
      known,
      next: { ...known, role: 'device' as const, hostNames: [], recoveryReleasedAt: undefined },
    }));
    await write(registry, changes.filter(isChange), now);
  }
}

/**
 * Revokes the devices that the operator names. One that the backup does not know is kept out under its id all the same.
 * @returns those that were not revoked before.
 */
export async function revokeNamed(
  { registry, clock }: CarryOverOptions,
  ids: Iterable<DeviceId>,
): Promise<DeviceId[]> {
  const now = clock.now();
  const changes: Change[] = [];
  for (const id of new Set(ids)) {
    const known = await registry.device(parseDeviceId(id));
    if (known?.state === 'revoked') continue;
    const next: Device = {
      ...(known ?? namedAlone(id, now)),
      state: 'revoked',
      revocationReason: restoreReason,
    };
    changes.push({ known, next });
  }
  await write(registry, changes, now);
  return changes.map(({ next }) => next.id);
}

// Devices.

interface Change {
  readonly known: Device | undefined;
  readonly next: Device;
}

async function carryDevices(
  { registry }: CarryOverOptions,
  before: RegistryReader,
  history: History,
  now: Date,
): Promise<DeviceId[]> {
  const rekeyed = await devicesWithAnotherKey(before);
  const revoked: DeviceId[] = [];
  for await (const page of pagesOf((after) => before.devices({ limit: pageSize, after }), 'id')) {
    const changes: Change[] = [];
    for (const device of page) {
      const known = await registry.device(device.id);
      // Of an ordinary device that was paired since nothing is refused: it pairs again.
      if (!known && isOrdinary(device) && !rekeyed.has(device.id)) continue;
      const change = {
        known,
        next: known ? restricted(known, device, history, now) : rememberedOnly(device),
      };
      if (!isChange(change)) continue;
      changes.push(change);
      if (change.next.state === 'revoked') revoked.push(device.id);
    }
    await write(registry, changes, now);
  }
  return revoked;
}

/** As the backup has it, with every refusal since. */
function restricted(known: Device, before: Device, history: History, now: Date): Device {
  const sameKey = sameBytes(known.identityKey, before.identityKey);
  // What the operator gave was given to the holder of the key of that time.
  const kept = sameKey ? known : undefined;
  const isDoubtful = !sameKey && history === 'another';
  const state = stricterState(known, before, sameKey);
  return {
    ...known,
    // Either may be the one that was replaced: then the operator looks.
    identityKey: isDoubtful ? known.identityKey : before.identityKey,
    role: before.role === 'device' || !kept ? 'device' : kept.role,
    hostNames: (kept?.hostNames ?? []).filter((name) => before.hostNames.includes(name)),
    state: isDoubtful && state !== 'revoked' ? 'quarantined' : state,
    revocationReason: before.revocationReason ?? known.revocationReason,
    cloneSeenAt: later(kept?.cloneSeenAt, before.cloneSeenAt),
    cloneReportedAt: later(kept?.cloneReportedAt, before.cloneReportedAt),
    // Another key was let in since: that was granted, and is asked about again.
    certificateRevokedAt: kept ? later(kept.certificateRevokedAt, before.certificateRevokedAt) : now,
    recoveryAskedAt: later(kept?.recoveryAskedAt, before.recoveryAskedAt),
    // Good once: one that is not there any more was used or taken back.
    recoveryReleasedAt:
      kept?.recoveryReleasedAt?.getTime() === before.recoveryReleasedAt?.getTime()
        ? kept?.recoveryReleasedAt
        : undefined,
  };
}

function stricterState(known: Device, before: Device, sameKey: boolean): Device['state'] {
  switch (before.state) {
    case 'revoked':
      return 'revoked';
    case 'quarantined':
      return known.state === 'revoked' ? 'revoked' : 'quarantined';
    case 'approved':
    case 'active':
      return sameKey || known.state === 'revoked' || known.state === 'quarantined' ? known.state : 'approved';
    default:
      return forgotten(before.state);
  }
}

/** From after the backup. Its certificates are unknown, so it has none; but its id and its key are not new. */
function rememberedOnly(before: Device): Device {
  return {
    ...before,
    role: 'device',
    hostNames: [],
    state: stateWithoutCertificate(before),
    recoveryReleasedAt: undefined,
  };
}

function stateWithoutCertificate({ state }: Device): Device['state'] {
  switch (state) {
    case 'revoked':
    case 'quarantined':
      return state;
    case 'approved':
    case 'active':
      return 'approved';
    default:
      return forgotten(state);
  }
}

/** Nothing of it was refused, and nothing about it has to be looked at. */
function isOrdinary({ state, cloneSeenAt, certificateRevokedAt, recoveryAskedAt }: Device): boolean {
  const isWatched = cloneSeenAt || certificateRevokedAt || recoveryAskedAt;
  return (state === 'approved' || state === 'active') && !isWatched;
}

/** Their first key is out for good, though no row has it any more. */
async function devicesWithAnotherKey(before: RegistryReader): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { action, subject } of before.auditRows()) {
    if (action === 'device.identity_key_replaced') ids.add(subject);
  }
  return ids;
}

function isChange({ known, next }: Change): boolean {
  return !known || JSON.stringify(deviceFacts(known)) !== JSON.stringify(deviceFacts(next));
}

function namedAlone(id: DeviceId, now: Date): Device {
  return {
    id,
    // Nobody has it, and it proves nothing.
    identityKey: new Uint8Array(0),
    name: 'unknown',
    kind: 'node',
    platform: 'unknown',
    role: 'device',
    state: 'revoked',
    createdAt: now,
    lastSeenAt: undefined,
    capabilities: [],
    hostNames: [],
    revocationReason: restoreReason,
    cloneSeenAt: undefined,
    cloneReportedAt: undefined,
    certificateRevokedAt: undefined,
    recoveryAskedAt: undefined,
    recoveryReleasedAt: undefined,
  };
}

/** The only place of a restore that writes devices. */
async function write(registry: Registry, changes: readonly Change[], now: Date): Promise<void> {
  if (changes.length === 0) return;
  await registry.transact(async (tx) => {
    for (const { known, next } of changes) {
      if (known) await tx.updateDevice(next);
      else await tx.insertDevice(next);
      await tx.appendAudit({
        at: now,
        action: 'device.carried_over',
        subject: next.id,
        detail: deviceFacts(next),
      });
      const reason = next.revocationReason ?? restoreReason;
      const isRevoked = next.state === 'revoked' && known?.state !== 'revoked';
      if (isRevoked) await tx.insertRevocation({ at: now, deviceId: next.id, serial: undefined, reason });
      const hasAnotherKey = known && !sameBytes(known.identityKey, next.identityKey);
      if (isRevoked || hasAnotherKey)
        await revokeAllCertificates(tx, next.id, isRevoked ? reason : 'identity key replaced', now);
    }
  });
}

// Certificates.

async function carryCertificates(
  { registry }: CarryOverOptions,
  before: RegistryReader,
  now: Date,
): Promise<void> {
  for await (const page of pagesOf((after) => before.certificates({ limit: pageSize, after }), 'serial')) {
    const changes: ((tx: RegistryTransaction) => Promise<void>)[] = [];
    for (const certificate of page) {
      const known = await registry.certificate({ serial: certificate.serial });
      const change = await certificateChange(certificate, known, before, now);
      if (change) changes.push(change);
    }
    if (changes.length > 0)
      await registry.transact(async (tx) => {
        for (const change of changes) await change(tx);
      });
  }
}

async function certificateChange(
  certificate: CertificateRecord,
  known: CertificateRecord | undefined,
  before: RegistryReader,
  now: Date,
): Promise<((tx: RegistryTransaction) => Promise<void>) | undefined> {
  const { serial, subject, state } = certificate;
  if (subject.kind !== 'device') return undefined;
  switch (state) {
    case 'issued':
    case 'active':
      // Known, it holds as it did; unknown, it is refused as such.
      return undefined;
    case 'superseded':
      if (known?.state !== 'issued' && known?.state !== 'active') return undefined;
      return (tx) => supersedeAgain(tx, known, now);
    case 'revoked': {
      const listedFrom = now.getTime() - listedAfterEndMs;
      if (known ? known.state === 'revoked' : certificate.notAfter.getTime() < listedFrom) return undefined;
      const [revocation] = await before.revocationsOf({ deviceId: subject.id, serial });
      const reason = revocation?.reason ?? restoreReason;
      const owner = await before.device(subject.id);
      return async (tx) => {
        if (known) return revokeAgain(tx, known, reason, now);
        if (owner) await revokeUnknown(tx, certificate, owner, { reason, at: revocation?.at ?? now }, now);
      };
    }
    default:
      return forgotten(state);
  }
}

async function supersedeAgain(tx: RegistryTransaction, known: CertificateRecord, now: Date): Promise<void> {
  const { serial, subject } = known;
  // Its device may have been revoked above.
  const present = (await tx.certificate({ serial }))?.state;
  if (present !== 'issued' && present !== 'active') return;
  await tx.moveCertificate(serial, present, 'superseded');
  await tx.appendAudit({
    at: now,
    action: 'certificate.superseded',
    subject: serial,
    detail: { device: subject.id, restore: true },
  });
}

async function revokeAgain(
  tx: RegistryTransaction,
  known: CertificateRecord,
  reason: string,
  now: Date,
): Promise<void> {
  const { serial, subject } = known;
  const present = (await tx.certificate({ serial }))?.state;
  if (!present || present === 'revoked') return;
  await tx.moveCertificate(serial, present, 'revoked');
  await tx.insertRevocation({ at: now, deviceId: subject.id, serial, reason });
  await tx.appendAudit({
    at: now,
    action: 'certificate.revoked',
    subject: serial,
    detail: { device: subject.id, reason, restore: true },
  });
}

/** From after the backup: refused as unknown here, but programs that read revocation lists must be told. */
async function revokeUnknown(
  tx: RegistryTransaction,
  certificate: CertificateRecord,
  owner: Device,
  { reason, at }: { reason: string; at: Date },
  now: Date,
): Promise<void> {
  const { serial, issuerId } = certificate;
  // A list is signed by the issuer, whose key the backup does not have either.
  if (!(await tx.authorities()).some(({ id }) => id === issuerId)) return;
  if (!(await tx.device(owner.id))) {
    const next = rememberedOnly(owner);
    await tx.insertDevice(next);
    await tx.appendAudit({
      at: now,
      action: 'device.carried_over',
      subject: next.id,
      detail: deviceFacts(next),
    });
  }
  await tx.insertCertificate({ ...certificate, state: 'revoked' });
  await tx.insertRevocation({ at, deviceId: owner.id, serial, reason });
  await tx.appendAudit({
    at: now,
    action: 'certificate.carried_over',
    subject: serial,
    detail: { ...certificateFacts(certificate), revoked_at: at.getTime(), reason },
  });
}

async function* pagesOf<K extends string, T extends Record<K, string>>(
  read: (after: string) => Promise<T[]>,
  key: K,
): AsyncIterable<T[]> {
  for (let after = ''; ; ) {
    const page = await read(after);
    yield page;
    if (page.length < pageSize) return;
    after = page.at(-1)![key];
  }
}

function later(a: Date | undefined, b: Date | undefined): Date | undefined {
  return a && b ? new Date(Math.max(a.getTime(), b.getTime())) : (a ?? b);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function forgotten(state: never): never {
  throw new TypeError(`a restore does not know the state ${state}`);
}
