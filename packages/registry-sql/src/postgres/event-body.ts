// Converts a change to the text of a row of `events` for the other daemons, and back.

import type { Pairing, RegistryEvent } from '@palyra/identity/registry';

/** A change of standings without an event for listeners, such as a new name: remembered standings are read again. */
export type FleetEvent = RegistryEvent | { readonly type: 'standing_changed' };

/** The fields of events that are dates. */
const dates: ReadonlySet<string> = new Set(['at', 'renewAt']);

export function encodeEvent(event: FleetEvent): string {
  // The others read the pairing itself, which would otherwise be stored twice.
  if (event.type === 'pairing_changed')
    return JSON.stringify({ type: event.type, pairing: event.pairing.id });
  return JSON.stringify(event, (key, value) => (dates.has(key) ? new Date(value).getTime() : value));
}

/**
 * @param pairing reads a pairing by id.
 * @returns undefined for an event that is not for listeners. An event of a newer version may take rights away in a way that
 *   this one does not know, so everything is checked again.
 */
export async function decodeEvent(
  body: string,
  pairing: (id: string) => Promise<Pairing | undefined>,
): Promise<RegistryEvent | undefined> {
  const event = JSON.parse(body, (key, value) => (dates.has(key) ? new Date(value) : value)) as {
    type: string;
    pairing?: string;
  };
  if (event.type === 'standing_changed') return undefined;
  if (!Object.hasOwn(heard, event.type)) return { type: 'changes_missed' };
  if (event.type === 'pairing_changed') {
    const found = await pairing(event.pairing ?? '');
    return found && { type: 'pairing_changed', pairing: found };
  }
  return event as RegistryEvent;
}

/** A record, so that the compiler reports a missing type. */
const heard: Readonly<Record<RegistryEvent['type'], unknown>> = {
  pairing_changed: 1,
  device_revoked: 1,
  device_quarantined: 1,
  clone_suspected: 1,
  recovery_asked: 1,
  renewal_asked: 1,
  device_role_changed: 1,
  authority_retired: 1,
  authorities_changed: 1,
  certificate_revoked: 1,
  certificate_superseded: 1,
  changes_missed: 1,
};
