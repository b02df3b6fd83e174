// Names that a stranger chose and an operator will read: short, and unable to move a cursor or turn text around.

import { IdentityError } from '../errors.ts';
import type { DeviceRole } from '../registry/port.ts';

/** Longest name or platform, in UTF-16 units. */
export const MAX_NAME_LENGTH = 64;

/** Controls, format characters (bidi overrides, zero widths), line separators, surrogates and unassigned code points. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Cn}]/u;

/** @throws MESSAGE_INVALID */
export function parseDeviceName(name: string): string {
  if (name.length === 0 || name.length > MAX_NAME_LENGTH || unprintable.test(name) || name.trim() !== name) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      `A name is 1 to ${MAX_NAME_LENGTH} printable characters without spaces at its ends.`,
    );
  }
  return name;
}

/** @throws MESSAGE_INVALID */
export function parseDeviceRole(role: string): DeviceRole {
  if (role !== 'device' && role !== 'operator')
    throw new IdentityError('MESSAGE_INVALID', 'A role is device or operator.');
  return role;
}

const kinds = ['cli', 'desktop', 'browser', 'node'] as const;

/** @throws MESSAGE_INVALID */
export function parseDeviceKind(kind: string): (typeof kinds)[number] {
  const known = kinds.find((each) => each === kind);
  if (!known) throw new IdentityError('MESSAGE_INVALID', `A device kind is one of ${kinds.join(', ')}.`);
  return known;
}
