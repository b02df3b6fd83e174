// The actor of a change, and its name in rows and the audit log.

import { type DeviceId, isUlid } from '../device-id.ts';

const places = ['admin socket', 'console', 'program'] as const;

/** The place of a decision on the daemon's own machine. `program`: the program that embeds the library. */
export type LocalPlace = (typeof places)[number];

export type Actor =
  | { readonly kind: 'local'; readonly at: LocalPlace }
  /** A device that operates the daemon, with the certificate that it showed. */
  | { readonly kind: 'device'; readonly deviceId: DeviceId; readonly serial: string };

/** The stored form: the place, or `device:` and the device's id. */
export type ActorName = LocalPlace | `device:${DeviceId}`;

export function actorName(actor: Actor): ActorName {
  return actor.kind === 'local' ? actor.at : `device:${actor.deviceId}`;
}

/** Undefined for text that names nobody. */
export function parseActorName(text: string): ActorName | undefined {
  const place = places.find((each) => each === text);
  if (place) return place;
  const id = text.startsWith('device:') ? text.slice('device:'.length) : '';
  return isUlid(id) ? `device:${id}` : undefined;
}

/** The device of a name; undefined for a local place. */
export function deviceNamed(name: ActorName): DeviceId | undefined {
  const id = name.slice(name.indexOf(':') + 1);
  return isUlid(id) ? id : undefined;
}
