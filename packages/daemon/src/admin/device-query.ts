// The filter, order and page of a list of devices, as messages have them.

import { IdentityError } from '@palyra/identity';
import { type Device, type DeviceOrder, type DevicesQuery, parseLabels } from '@palyra/identity/registry';
import { isUlid } from '@palyra/identity/values';
import {
  type DeviceKind,
  type DeviceState,
  deviceKinds,
  deviceOrders,
  deviceStates,
  DeviceOrder as Order,
} from '@palyra/rpc/admin';
import { knownWord } from '@palyra/rpc/transport';

/** How long a revoked device stays in lists that hide ended entries. */
export const revokedShownMs = 30 * 86_400_000;
/** Milliseconds of the last date. */
const lastMs = 8.64e15;

export interface DevicesMessage {
  readonly search: string;
  readonly after: string;
  readonly states: readonly DeviceState[];
  readonly kinds: readonly DeviceKind[];
  readonly labels: readonly string[];
  readonly endsByMs: bigint;
  readonly hideLongRevoked: boolean;
  readonly order: Order;
}

/** @throws MESSAGE_INVALID */
export function parseDevicesQuery(message: DevicesMessage, now: Date): Omit<DevicesQuery, 'limit'> {
  const { search, states, kinds, labels, endsByMs, hideLongRevoked } = message;
  const isById = message.order === Order.UNSPECIFIED;
  const order = isById ? 'id' : knownWord('An order', deviceOrders, message.order);
  if (endsByMs < 0n || endsByMs > BigInt(lastMs))
    throw new IdentityError('MESSAGE_INVALID', 'The latest end of certificates is not a date.');
  return {
    order,
    ...(search && { search }),
    ...(states.length > 0 && { states: states.map((each) => knownWord('A state', deviceStates, each)) }),
    ...(kinds.length > 0 && { kinds: kinds.map((each) => knownWord('A kind', deviceKinds, each)) }),
    ...(labels.length > 0 && { labels: parseLabels(labels) }),
    ...(endsByMs > 0n && { endsBy: new Date(Number(endsByMs)) }),
    ...(hideLongRevoked && { revokedSince: new Date(now.getTime() - revokedShownMs) }),
    ...(message.after && parsePlace(message.after, order)),
  };
}

/** The end of a page: the id, and after a colon the value that the order compares. */
export function placeAfter(device: Device, order: DeviceOrder, endsMs: bigint): string {
  switch (order) {
    case 'id':
      return device.id;
    case 'name':
      return `${device.id}:${device.name}`;
    case 'seen':
      return `${device.id}:${device.lastSeenAt?.getTime() ?? 0}`;
    case 'expiry':
      return `${device.id}:${endsMs > 0n ? endsMs : Number.MAX_SAFE_INTEGER}`;
  }
}

function parsePlace(text: string, order: DeviceOrder): Pick<DevicesQuery, 'after' | 'afterKey'> {
  if (order === 'id') return { after: text };
  const [after, key] = [text.slice(0, 26), text.slice(27)];
  const afterKey = order === 'name' ? key : Number(key);
  if (isUlid(after) && text[26] === ':' && (order === 'name' || Number.isSafeInteger(afterKey)))
    return { after, afterKey };
  throw new IdentityError('MESSAGE_INVALID', 'This is not the end of a page in this order.');
}
