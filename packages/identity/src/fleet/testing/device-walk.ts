// Random histories of one device, built from events.

import fc from 'fast-check';
import type { DeviceId, Ulid } from '../../device-id.ts';
import { IdentityError } from '../../errors.ts';
import type { Device, DeviceState } from '../device.ts';
import { type Approval, type DeviceEvent, stepDevice } from '../device-state.ts';

export const startMs = 1_700_000_000_000;
export const begin = new Date(startMs);
export const deviceId = '01K8ZQ4YV3M6X9T2B7C5D1E0FG' as DeviceId;
export const keyOf = (number: number): Uint8Array => new Uint8Array(32).fill(number);

export function approval(key: number, change: Partial<Approval> = {}): Approval {
  return {
    pairingId: '01K8ZQ4YV3AAAAAAAAAAAAAAAA' as Ulid,
    request: { deviceId, identityKey: keyOf(key), name: 'laptop', kind: 'node', platform: 'linux' },
    expiresAt: begin,
    automatic: false,
    name: undefined,
    operator: false,
    hostNames: undefined,
    replaceIdentityKey: false,
    ...change,
  };
}

export const suspect = (quarantine: boolean): DeviceEvent => ({
  type: 'suspect',
  serial: '00'.repeat(16),
  source: '192.0.2.1',
  sign: 'second_agent',
  quarantine,
});

export const askRecovery: DeviceEvent = {
  type: 'ask_recovery',
  reason: 'it was away',
  source: '192.0.2.1',
  possibleCopy: false,
};

/** One device in each state, built from events. */
export function inState(state: DeviceState): Device {
  const ways: Readonly<Record<DeviceState, readonly DeviceEvent[]>> = {
    approved: [],
    active: [{ type: 'use' }],
    quarantined: [{ type: 'use' }, suspect(true)],
    revoked: [{ type: 'use' }, { type: 'revoke', reason: 'lost' }],
  };
  let device = stepDevice(undefined, { type: 'approve', approval: approval(1) }, begin);
  for (const event of ways[state]) device = stepDevice(device, event, begin);
  return device;
}

const decision = fc.record({
  key: fc.integer({ min: 1, max: 3 }),
  operator: fc.boolean(),
  replaceIdentityKey: fc.boolean(),
  hostNames: fc.constantFrom(undefined, [], ['camera.example']),
});

/** All events of a device except a restore. */
export const anyEvent: fc.Arbitrary<DeviceEvent> = fc.oneof(
  { weight: 3, arbitrary: decision.map(({ key, ...rest }) => approve(key, rest)) },
  { weight: 3, arbitrary: fc.constant<DeviceEvent>({ type: 'use' }) },
  { weight: 3, arbitrary: fc.boolean().map(suspect) },
  { weight: 3, arbitrary: fc.constant(askRecovery) },
  { weight: 3, arbitrary: fc.constant<DeviceEvent>({ type: 'release' }) },
  fc.constantFrom<DeviceEvent>(
    { type: 'see' },
    { type: 'register', platform: 'linux', capabilities: ['camera'] },
    { type: 'rename', name: 'workshop' },
    { type: 'set_role', role: 'operator' },
    { type: 'set_role', role: 'device' },
    { type: 'set_host_names', hostNames: ['camera.example', 'door.example'] },
    { type: 'set_labels', labels: ['kitchen', 'site=berlin'] },
    { type: 'set_labels', labels: [] },
    { type: 'recover' },
    { type: 'lose_certificate' },
    { type: 'take_grants' },
    { type: 'revoke', reason: 'lost' },
    { type: 'revoke_again', id: deviceId, reason: 'lost before' },
  ),
);

function approve(key: number, rest: Partial<Approval>): DeviceEvent {
  return { type: 'approve', approval: approval(key, rest) };
}

/** Some events, with the milliseconds between them. */
export const anyWalk = fc.array(fc.tuple(anyEvent, fc.integer({ min: 1, max: 1000 })), { maxLength: 25 });

/** Applies the events in order. Refused events change nothing. */
export function* walk(
  events: readonly (readonly [DeviceEvent, number])[],
  first: Device | undefined = undefined,
): Iterable<{ readonly before: Device | undefined; readonly after: Device; readonly event: DeviceEvent }> {
  let before = first;
  let nowMs = startMs;
  for (const [event, waitMs] of events) {
    nowMs += waitMs;
    try {
      const after = stepDevice(before && Object.freeze(before), event, new Date(nowMs));
      yield { before, after, event };
      before = after;
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
    }
  }
}
