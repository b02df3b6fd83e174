import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IdentityError } from '../errors.ts';
import { sameBytes } from '../same-bytes.ts';
import { type Device, type DeviceState, isShutOut } from './device.ts';
import { type DeviceEvent, stepDevice } from './device-state.ts';
import {
  anyWalk,
  approval,
  askRecovery,
  begin,
  deviceId,
  inState,
  suspect,
  walk,
} from './testing/device-walk.ts';

/** Every event, by its name in the diagram below. */
const events: Readonly<Record<string, DeviceEvent>> = {
  'approve, same key': { type: 'approve', approval: approval(1) },
  'approve, another key': { type: 'approve', approval: approval(2, { replaceIdentityKey: true }) },
  'approve, another key not allowed': { type: 'approve', approval: approval(2) },
  use: { type: 'use' },
  see: { type: 'see' },
  register: { type: 'register', platform: 'linux', capabilities: [] },
  rename: { type: 'rename', name: 'workshop' },
  set_role: { type: 'set_role', role: 'operator' },
  set_host_names: { type: 'set_host_names', hostNames: ['camera.example'] },
  set_labels: { type: 'set_labels', labels: ['kitchen'] },
  'suspect, report': suspect(false),
  'suspect, quarantine': suspect(true),
  ask_recovery: askRecovery,
  recover: { type: 'recover' },
  lose_certificate: { type: 'lose_certificate' },
  release: { type: 'release' },
  revoke: { type: 'revoke', reason: 'lost' },
  revoke_again: { type: 'revoke_again', id: deviceId, reason: 'lost' },
  'restore, approved': restoreOf('approved'),
  'restore, active': restoreOf('active'),
  'restore, quarantined': restoreOf('quarantined'),
  'restore, revoked': restoreOf('revoked'),
  take_grants: { type: 'take_grants' },
};
type Outcome =
  | DeviceState
  | 'DEVICE_NOT_FOUND'
  | 'DEVICE_QUARANTINED'
  | 'DEVICE_REVOKED'
  | 'IDENTITY_KEY_CHANGED';

/** The diagram at the top of device.ts as data: the next state for each event, or the code of the refusal. */
const drawn: Readonly<
  Record<DeviceState | 'unknown', { otherwise: Outcome; arrows: Partial<Record<string, Outcome>> }>
> = {
  unknown: {
    otherwise: 'DEVICE_NOT_FOUND',
    arrows: {
      'approve, same key': 'approved',
      'approve, another key': 'approved',
      'approve, another key not allowed': 'approved',
      revoke_again: 'revoked',
      'restore, approved': 'approved',
      'restore, active': 'approved',
      'restore, quarantined': 'quarantined',
      'restore, revoked': 'revoked',
    },
  },
  approved: {
    otherwise: 'approved',
    arrows: {
      'approve, another key not allowed': 'IDENTITY_KEY_CHANGED',
      use: 'active',
      'suspect, quarantine': 'quarantined',
      revoke: 'revoked',
      revoke_again: 'revoked',
      'restore, quarantined': 'quarantined',
      'restore, revoked': 'revoked',
    },
  },
  active: {
    otherwise: 'active',
    arrows: {
      'approve, another key': 'approved',
      'approve, another key not allowed': 'IDENTITY_KEY_CHANGED',
      'suspect, quarantine': 'quarantined',
      revoke: 'revoked',
      revoke_again: 'revoked',
      'restore, quarantined': 'quarantined',
      'restore, revoked': 'revoked',
    },
  },
  quarantined: {
    otherwise: 'DEVICE_QUARANTINED',
    arrows: {
      rename: 'quarantined',
      set_role: 'quarantined',
      set_host_names: 'quarantined',
      set_labels: 'quarantined',
      lose_certificate: 'quarantined',
      take_grants: 'quarantined',
      release: 'active',
      revoke: 'revoked',
      revoke_again: 'revoked',
      'restore, approved': 'quarantined',
      'restore, active': 'quarantined',
      'restore, quarantined': 'quarantined',
      'restore, revoked': 'revoked',
    },
  },
  revoked: {
    otherwise: 'DEVICE_REVOKED',
    arrows: {
      rename: 'revoked',
      lose_certificate: 'revoked',
      take_grants: 'revoked',
      revoke: 'revoked',
      revoke_again: 'revoked',
      'restore, approved': 'revoked',
      'restore, active': 'revoked',
      'restore, quarantined': 'revoked',
      'restore, revoked': 'revoked',
    },
  },
};

function restoreOf(state: DeviceState): DeviceEvent {
  return { type: 'restore', before: inState(state), history: 'newer' };
}

function outcome(device: Device | undefined, event: DeviceEvent): Outcome {
  try {
    return stepDevice(device && Object.freeze(device), event, begin).state;
  } catch (error) {
    assert.ok(error instanceof IdentityError, String(error));
    return error.code as Outcome;
  }
}

test('every event in every state does exactly what the diagram shows', () => {
  const types = new Set(Object.values(events).map(({ type }) => type));
  assert.equal(types.size, 17, 'every event is tried');
  for (const [state, { otherwise, arrows }] of Object.entries(drawn)) {
    const device = state === 'unknown' ? undefined : inState(state as DeviceState);
    for (const [name, event] of Object.entries(events))
      assert.equal(outcome(device, event), arrows[name] ?? otherwise, `${state} takes ${name}`);
  }
});

test('an event without effect returns the same object, so that nothing is written', () => {
  const device = inState('active');
  for (const event of [
    { type: 'set_role', role: 'device' },
    { type: 'set_host_names', hostNames: [] },
    { type: 'set_labels', labels: [] },
    { type: 'release' },
    { type: 'recover' },
    { type: 'take_grants' },
    { type: 'restore', before: device, history: 'newer' },
  ] as const satisfies DeviceEvent[])
    assert.equal(stepDevice(device, event, begin), device, event.type);
  const revoked = inState('revoked');
  for (const event of [
    { type: 'revoke', reason: 'again' },
    { type: 'lose_certificate' },
  ] as const satisfies DeviceEvent[])
    assert.equal(stepDevice(revoked, event, begin), revoked, event.type);
});

test('a refused device stays refused until the one event that allows it', () => {
  fc.assert(
    fc.property(anyWalk, (steps) => {
      for (const { before, after, event } of walk(steps)) if (before) holds(before, after, event);
    }),
    { numRuns: 2000 },
  );
});

function holds(before: Device, after: Device, event: DeviceEvent): void {
  const only = (...types: DeviceEvent['type'][]) =>
    assert.ok(
      types.includes(event.type),
      `${event.type} took ${JSON.stringify(before)} to ${JSON.stringify(after)}`,
    );
  const isRekeyed = !sameBytes(before.identityKey, after.identityKey);
  if (isRekeyed) {
    only('approve');
    assert.equal(after.state, 'approved', 'the new key has no certificate');
  }
  if (before.role === 'device' && after.role === 'operator') only('approve', 'set_role');
  if (event.type === 'approve') {
    const { operator, hostNames } = event.approval;
    const kept = isRekeyed ? undefined : before;
    assert.equal(after.role, operator ? 'operator' : (kept?.role ?? 'device'));
    assert.deepEqual(after.hostNames, hostNames ?? kept?.hostNames ?? []);
    assert.deepEqual(after.labels, kept?.labels ?? []);
  }
  if (before.state === 'revoked') assert.equal(after.state, 'revoked');
  else if (after.state === 'revoked') only('revoke', 'revoke_again');
  if (before.state === 'revoked' || after.state === 'revoked') return;
  if (before.state === 'quarantined' && after.state !== 'quarantined') only('release');
  if (before.cloneSeenAt && !after.cloneSeenAt && !isRekeyed) only('release');
  if (before.certificateRevokedAt && !after.certificateRevokedAt) only('approve', 'recover');
  const [was, is] = [before.recovery?.state, after.recovery?.state];
  if (was === 'asked' && is !== 'asked') only('approve', 'release');
  if (was !== 'released' && is === 'released') only('release');
  if (is === 'released') assert.ok(!isShutOut(after), 'a device that is shut out may not recover');
}
