// The state of a device after a restore. Refusals since the backup stay in force; permissions since the backup are lost, and the
// operator grants them again. Pure functions; carry-over.ts reads and writes.

import type { DeviceId } from '../device-id.ts';
import { sameBytes } from '../same-bytes.ts';
import {
  type AdmittedDevice,
  type AskedRecovery,
  baseOf,
  type Device,
  type QuarantinedDevice,
} from './device.ts';

/** Whether the replaced registry continues from the backup, or diverged before it. */
export type History = 'newer' | 'another';

/**
 * The device as the backup has it, with every refusal since.
 * @param before the device's last state. In a diverged registry it is unknown which of two keys is the later one.
 */
export function restoredDevice(known: Device, before: Device, history: History, now: Date): Device {
  const sameKey = sameBytes(known.identityKey, before.identityKey);
  const isDoubtful = !sameKey && history === 'another';
  const base = {
    ...baseOf(known),
    // Either key may be the replaced one. So the device is quarantined, and the operator decides.
    identityKey: isDoubtful ? known.identityKey : before.identityKey,
    // The operator gave role, names and labels to the holder of the earlier key.
    role: sameKey && before.role === 'operator' ? known.role : 'device',
    hostNames: sameKey ? known.hostNames.filter((name) => before.hostNames.includes(name)) : [],
    labels: sameKey ? known.labels.filter((label) => before.labels.includes(label)) : [],
  };
  if (before.state === 'revoked')
    return { ...base, state: 'revoked', revocationReason: before.revocationReason };
  if (known.state === 'revoked')
    return { ...base, state: 'revoked', revocationReason: known.revocationReason };
  const kept = sameKey ? known : undefined;
  const suspicions = {
    cloneSeenAt: later(kept?.cloneSeenAt, before.cloneSeenAt),
    cloneReportedAt: later(kept?.cloneReportedAt, before.cloneReportedAt),
    // Another key was approved since. That was a permission, so the operator is asked again.
    certificateRevokedAt: kept ? later(kept.certificateRevokedAt, before.certificateRevokedAt) : now,
  };
  const at = later(kept && asked(kept)?.at, asked(before)?.at);
  const recovery = at && ({ state: 'asked', at } as const);
  if (isDoubtful || before.state === 'quarantined' || known.state === 'quarantined')
    return { ...base, ...suspicions, state: 'quarantined', recovery };
  // A release works once. If it is missing, it was used or withdrawn.
  const isUnused =
    kept?.recovery?.state === 'released' &&
    before.recovery?.state === 'released' &&
    kept.recovery.at.getTime() === before.recovery.at.getTime();
  return {
    ...base,
    ...suspicions,
    state: sameKey ? known.state : 'approved',
    recovery: recovery ?? (isUnused ? known.recovery : undefined),
  };
}

/** A device that is newer than the backup. Its id and key stay known; its certificates are lost. */
export function rememberedDevice(before: Device): Device {
  const withoutGifts = { role: 'device', hostNames: [], labels: [] } as const;
  switch (before.state) {
    case 'revoked':
    case 'quarantined':
      return { ...before, ...withoutGifts };
    case 'approved':
    case 'active':
      return { ...before, ...withoutGifts, state: 'approved', recovery: asked(before) };
  }
}

/** The device without the permissions that the operator may have removed since. */
export function withoutGrants(device: Device): Device {
  const withoutGifts = { role: 'device', hostNames: [], labels: [] } as const;
  return device.state === 'approved' || device.state === 'active'
    ? { ...device, ...withoutGifts, recovery: asked(device) }
    : { ...device, ...withoutGifts };
}

/** A revoked device of which only the id is known. Its empty key proves nothing. */
export function namedAlone(id: DeviceId, reason: string, now: Date): Device {
  return {
    id,
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
    labels: [],
    revocationReason: reason,
  };
}

/** The recovery if it still waits for the operator. An allowed recovery is dropped. */
export function asked({ recovery }: AdmittedDevice | QuarantinedDevice): AskedRecovery | undefined {
  return recovery?.state === 'asked' ? recovery : undefined;
}

function later(a: Date | undefined, b: Date | undefined): Date | undefined {
  return a && b ? new Date(Math.max(a.getTime(), b.getTime())) : (a ?? b);
}
