// Converts a device to a row, and back.

import type { Device, DeviceKind, DeviceRole } from '@palyra/identity/registry';
import type { DevicesTable } from '../tables.ts';
import { bytes, id, instant, milliseconds, oneOf, optional, type Row, text, unreadable } from './column.ts';

export const deviceKind = oneOf<DeviceKind>({ cli: 1, desktop: 1, browser: 1, node: 1 });
export const deviceState = oneOf<Device['state']>({ approved: 1, active: 1, quarantined: 1, revoked: 1 });
export const deviceRole = oneOf<DeviceRole>({ device: 1, operator: 1 });

export function deviceRow(device: Device): DevicesTable {
  const suspicions = device.state === 'revoked' ? undefined : device;
  const recovery = suspicions?.recovery;
  return {
    id: device.id,
    identity_key: device.identityKey,
    name: device.name,
    name_folded: foldName(device.name),
    kind: device.kind,
    platform: device.platform,
    role: device.role,
    state: device.state,
    created_at: milliseconds(device.createdAt),
    last_seen_at: moment(device.lastSeenAt),
    capabilities: JSON.stringify(device.capabilities),
    host_names: JSON.stringify(device.hostNames),
    labels: JSON.stringify(device.labels),
    revocation_reason: device.state === 'revoked' ? device.revocationReason : null,
    clone_seen_at: moment(suspicions?.cloneSeenAt),
    clone_reported_at: moment(suspicions?.cloneReportedAt),
    certificate_revoked_at: moment(suspicions?.certificateRevokedAt),
    recovery_asked_at: moment(recovery?.state === 'asked' ? recovery.at : undefined),
    recovery_released_at: moment(recovery?.state === 'released' ? recovery.at : undefined),
  };
}

/** Ignores columns that the state does not use, which a change from outside may have filled. */
export function readDevice(row: Row): Device {
  const state = deviceState(row, 'state');
  const base = {
    id: id(row, 'id'),
    identityKey: bytes(row, 'identity_key'),
    name: text(row, 'name'),
    kind: deviceKind(row, 'kind'),
    platform: text(row, 'platform'),
    role: deviceRole(row, 'role'),
    createdAt: instant(row, 'created_at'),
    lastSeenAt: optional(instant)(row, 'last_seen_at'),
    capabilities: readList(row, 'capabilities'),
    hostNames: readList(row, 'host_names'),
    labels: readList(row, 'labels'),
  };
  if (state === 'revoked')
    return { ...base, state, revocationReason: optional(text)(row, 'revocation_reason') ?? '' };
  const suspicions = {
    cloneSeenAt: optional(instant)(row, 'clone_seen_at'),
    cloneReportedAt: optional(instant)(row, 'clone_reported_at'),
    certificateRevokedAt: optional(instant)(row, 'certificate_revoked_at'),
  };
  const [asked, released] = [
    optional(instant)(row, 'recovery_asked_at'),
    optional(instant)(row, 'recovery_released_at'),
  ];
  // An unknown role counts as the one with fewer rights.
  if (asked) return { ...base, ...suspicions, state, recovery: { state: 'asked', at: asked } };
  if (state === 'quarantined') return { ...base, ...suspicions, state, recovery: undefined };
  return { ...base, ...suspicions, state, recovery: released && { state: 'released', at: released } };
}

function moment(at: Date | undefined): number | null {
  return at ? milliseconds(at) : null;
}

/** The form in which a name and a search are compared. */
export function foldName(name: string): string {
  return name.normalize('NFKC').toLowerCase();
}

function readList(row: Row, column: string): readonly string[] {
  const json = text(row, column);
  let list: unknown;
  try {
    list = JSON.parse(json);
  } catch {
    return unreadable(column, json);
  }
  return Array.isArray(list) && list.every((item) => typeof item === 'string')
    ? list
    : unreadable(column, list);
}
