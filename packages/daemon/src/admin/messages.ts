// Conversions shared by the messages of the admin service.

import { IdentityError } from '@palyra/identity';
import { parseVisibleText } from '@palyra/identity/values';
import { type DeviceRole, deviceRoles } from '@palyra/rpc/admin';
import { knownWord } from '@palyra/rpc/transport';

const defaultPage = 100;
export const maxPage = 1000;
const maxReasonLength = 200;

export const pageSize = (limit: number): number => Math.min(limit > 0 ? limit : defaultPage, maxPage);
export const millis = (date: Date): bigint => BigInt(date.getTime());

/** @throws MESSAGE_INVALID */
export const parseRole = (role: DeviceRole) => knownWord('A role', deviceRoles, role);

/** @throws MESSAGE_INVALID */
export function parseFamily(text: string): string {
  if (/^[a-z]{1,32}$/.test(text)) return text;
  throw new IdentityError('MESSAGE_INVALID', 'A family of actions is one word, such as device.');
}

/** The operator's text, which is shown to people later. */
export function parseReason(reason: string): string {
  return parseVisibleText('A reason', reason, maxReasonLength);
}
