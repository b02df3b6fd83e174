// Carries refusals over a restore. Everything refused since the backup stays refused: the restore copies the refusals
// from the replaced registry. It copies nothing else; the operator grants permissions again.
//
// restored-device.ts decides about one device, carry-over-certificates.ts about one certificate. Both name every state,
// so the compiler finds a state that they forget.

import { retireRootsAgain } from '../authority/root-rotation.ts';
import type { Clock } from '../clock.ts';
import { type DeviceId, parseDeviceId } from '../device-id.ts';
import { carryPasskeys } from '../operator/passkeys.ts';
import { pageSize, pagesOf } from '../registry/pages.ts';
import type { Registry, RegistryReader } from '../registry/port.ts';
import { carryCertificates } from './carry-over-certificates.ts';
import { changeDevice } from './change.ts';
import { type Device, isShutOut, isWatched } from './device.ts';
import type { DeviceEvent } from './device-state.ts';
import { restoreReason } from './restored.ts';
import type { History } from './restored-device.ts';

export interface CarryOverOptions {
  /** The registry from the backup. Nobody else has it open. */
  readonly registry: Registry;
  /** The time at which the facts are carried over. */
  readonly clock: Clock;
}

/**
 * Takes over every refusal.
 * @param before the registry of the same daemon that is replaced.
 * @param history whether it continues from the backup. In a diverged one it is unknown which key of a device is the
 *   later one.
 * @returns the devices that were revoked again.
 * @throws ROTATION_CONFLICT when the backup has no root that is still trusted.
 */
export async function carryOver(
  { registry, clock }: CarryOverOptions,
  before: RegistryReader,
  history: History,
): Promise<DeviceId[]> {
  const now = clock.now();
  const authorities = await before.authorities();
  await registry.transact((tx) => retireRootsAgain(tx, authorities, now));
  const revoked = await carryDevices(registry, before, history, now);
  await carryCertificates(registry, before, now);
  await carryPasskeys(registry, before, now);
  return revoked;
}

/** For a restore that does not know what was revoked or used since: every device loses its role, names and recovery. */
export async function takeEveryGrant({ registry, clock }: CarryOverOptions): Promise<void> {
  const now = clock.now();
  for await (const page of pagesOf((after) => registry.devices({ limit: pageSize, after }), 'id'))
    await write(
      registry,
      page.map((known) => ({ known, event: { type: 'take_grants' } })),
      now,
    );
}

/**
 * Revokes the devices that the operator names, also those that the backup does not know.
 * @returns those that were not revoked before.
 */
export async function revokeNamed(
  { registry, clock }: CarryOverOptions,
  ids: Iterable<DeviceId>,
): Promise<DeviceId[]> {
  const changes: Change[] = [];
  for (const id of new Set(ids)) {
    const known = await registry.device(parseDeviceId(id));
    changes.push({ known, event: { type: 'revoke_again', id, reason: restoreReason } });
  }
  return (await write(registry, changes, clock.now())).map(({ id }) => id);
}

interface Change {
  /** As the backup has the device. */
  readonly known: Device | undefined;
  readonly event: DeviceEvent;
}

/** @returns the devices that have changed and are revoked. */
async function carryDevices(
  registry: Registry,
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
      // An ordinary device that was paired since and never refused pairs again.
      if (!known && isOrdinary(device) && !rekeyed.has(device.id)) continue;
      changes.push({ known, event: { type: 'restore', before: device, history } });
    }
    for (const device of await write(registry, changes, now))
      if (device.state === 'revoked') revoked.push(device.id);
  }
  return revoked;
}

/** Whether the device was never refused, and nothing about it waits for the operator. */
const isOrdinary = (device: Device) => !isShutOut(device) && !isWatched(device);

/** Their first key stays refused permanently, although no row has it any more. */
async function devicesWithAnotherKey(before: RegistryReader): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { action, subject } of before.auditRows()) {
    if (action === 'device.identity_key_replaced') ids.add(subject);
  }
  return ids;
}

/** @returns the devices that have changed. */
async function write(registry: Registry, changes: readonly Change[], at: Date): Promise<Device[]> {
  if (changes.length === 0) return [];
  return registry.transact(async (tx) => {
    const changed: Device[] = [];
    for (const { known, event } of changes) {
      const device = await changeDevice(tx, known, event, { at, isRestore: true });
      if (device !== known) changed.push(device);
    }
    return changed;
  });
}
