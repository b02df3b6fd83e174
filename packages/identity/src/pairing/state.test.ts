import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import {
  isDue,
  type Pairing,
  type PairingEvent,
  type PairingRequest,
  type PairingState,
  step,
} from './state.ts';

/** The diagram at the top of state.ts as data. */
const drawn: Readonly<Record<PairingState, Partial<Record<PairingEvent['type'], PairingState>>>> = {
  waiting: {
    guess: 'waiting',
    confirm: 'pending_approval',
    exhaust: 'exhausted',
    withdraw: 'rejected',
    restore: 'rejected',
    expire: 'expired',
  },
  pending_approval: {
    approve: 'approved',
    reject: 'rejected',
    revoke: 'rejected',
    restore: 'rejected',
    expire: 'expired',
  },
  approved: { issue: 'issued', revoke: 'rejected', restore: 'rejected', expire: 'expired' },
  issued: { activate: 'active', revoke: 'rejected', expire: 'expired' },
  active: {},
  rejected: {},
  expired: {},
  exhausted: {},
};
const finals: readonly PairingState[] = ['active', 'rejected', 'expired', 'exhausted'];

const states = Object.keys(drawn) as PairingState[];

const start = 1_700_000_000_000;
const begin = new Date(start);
/** A time at which everything that began at `begin` is over. */
const end = new Date(start + 1000);
const request: PairingRequest = {
  deviceId: '01K8ZQ4YV3M6X9T2B7C5D1E0FG' as DeviceId,
  identityKey: new Uint8Array(32),
  tlsKey: new Uint8Array(91),
  name: 'laptop',
  kind: 'cli',
  platform: 'linux',
  words: 'one two three',
  source: '127.0.0.1',
  continuity: 'new',
  failedGuesses: 0,
  sealedAwaitKey: new Uint8Array(60),
};

function waiting(guessesLeft = 3): Pairing {
  return {
    id: '01K8ZQ4YV3AAAAAAAAAAAAAAAA' as Ulid,
    revision: 0,
    state: 'waiting',
    codeKind: 'typed',
    slot: '123',
    createdAt: new Date(start),
    autoApprovedBy: undefined,
    expiresAt: new Date(start + 1000),
    guessesLeft,
    guessesTaken: 0,
    sealedSecret: new Uint8Array(34),
  };
}

/** Events, with a life for the states that have one. */
function eventOf(type: PairingEvent['type'], nowMs: number, lifeMs: number): PairingEvent {
  const expiresAt = new Date(nowMs + lifeMs);
  switch (type) {
    case 'confirm':
      return { type, request, expiresAt };
    case 'approve':
      return { type, expiresAt };
    case 'issue':
      return { type, serial: '00'.repeat(16), expiresAt };
    case 'reject':
    case 'withdraw':
    case 'revoke':
    case 'restore':
      return { type, reason: 'because' };
    default:
      return { type };
  }
}

const types = [
  'guess',
  'confirm',
  'withdraw',
  'exhaust',
  'approve',
  'reject',
  'issue',
  'activate',
  'expire',
  'revoke',
  'restore',
] as const;

/** One pairing in each state, built from events. */
function inState(state: PairingState, guesses: number): Pairing {
  const ways: Readonly<Record<PairingState, readonly PairingEvent['type'][]>> = {
    waiting: [],
    pending_approval: ['confirm'],
    approved: ['confirm', 'approve'],
    issued: ['confirm', 'approve', 'issue'],
    active: ['confirm', 'approve', 'issue', 'activate'],
    rejected: ['confirm', 'reject'],
    expired: ['expire'],
    exhausted: ['exhaust'],
  };
  let pairing = waiting(guesses);
  for (const type of ways[state]) {
    if (type === 'exhaust')
      for (let n = 0; n < guesses; n += 1) pairing = step(pairing, { type: 'guess' }, begin);
    const at = type === 'expire' ? end : begin;
    pairing = step(pairing, eventOf(type, start, 1000), at);
  }
  assert.equal(pairing.state, state);
  return pairing;
}

test('every event in every state, early and late, does exactly what the diagram shows', () => {
  const taken = new Set<string>();
  for (const state of states) {
    for (const guesses of [1, 2]) {
      for (const guessed of [0, 1]) {
        for (const now of [begin, end]) {
          for (const type of types) {
            let pairing = inState(state, guesses);
            if (state === 'waiting' && guessed > 0) pairing = step(pairing, { type: 'guess' }, begin);
            if (take(pairing, eventOf(type, now.getTime(), 1000), now, guesses) !== pairing)
              taken.add(`${state} ${type}`);
          }
        }
      }
    }
  }
  const arrows = states.flatMap((state) => Object.keys(drawn[state]).map((type) => `${state} ${type}`));
  assert.deepEqual([...taken].sort(), arrows.sort());
});

const walk = fc.array(
  fc.record({
    type: fc.constantFrom(...types),
    waitMs: fc.integer({ min: 0, max: 400 }),
    lifeMs: fc.integer({ min: 1, max: 2000 }),
  }),
  { maxLength: 30 },
);

test('random events never cause a transition outside the diagram, and final states stay final', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), walk, (guesses, events) => {
      let pairing = waiting(guesses);
      let nowMs = start;
      for (const { type, waitMs, lifeMs } of events) {
        nowMs += waitMs;
        pairing = take(pairing, eventOf(type, nowMs, lifeMs), new Date(nowMs), guesses);
      }
    }),
    { numRuns: 1000 },
  );
});

/** Applies an event, and compares the outcome with the diagram. Returns the same object after a refusal. */
function take(before: Pairing, event: PairingEvent, now: Date, guesses: number): Pairing {
  const expected = expectation(before, event.type, now);
  const frozen = Object.freeze(before);
  let after: Pairing;
  try {
    after = step(frozen, event, now);
  } catch (error) {
    assert.ok(error instanceof IdentityError, String(error));
    assert.equal(error.code, expected, `${before.state} refused ${event.type}`);
    return before;
  }
  assert.equal(after.state, expected, `${before.state} took ${event.type}`);
  assert.ok(!finals.includes(before.state), `${before.state} is final`);
  checkInvariants(after, guesses);
  return after;
}

/** The next state by the diagram and its guards, or the code of the refusal. */
function expectation(pairing: Pairing, type: PairingEvent['type'], now: Date): string {
  const next = drawn[pairing.state][type];
  const due = isDue(pairing, now);
  if (type === 'expire') return due ? 'expired' : 'PAIRING_STATE_CONFLICT';
  // Its certificate was valid when the device connected. The end of the minute does not matter.
  if (due && type !== 'activate') return 'PAIRING_EXPIRED';
  if (next === undefined) return pairing.state === 'expired' ? 'PAIRING_EXPIRED' : 'PAIRING_STATE_CONFLICT';
  if (type === 'guess' && pairing.guessesLeft === 0) return 'PAIRING_STATE_CONFLICT';
  if (type === 'exhaust' && pairing.guessesLeft > 0) return 'PAIRING_STATE_CONFLICT';
  return next;
}

function checkInvariants(pairing: Pairing, guesses: number): void {
  assert.ok(pairing.guessesLeft >= 0);
  assert.equal(pairing.guessesLeft + pairing.guessesTaken, guesses);
  const first = waiting(guesses);
  for (const field of ['id', 'codeKind', 'slot', 'createdAt', 'revision'] as const) {
    assert.deepEqual(pairing[field], first[field]);
  }
  assert.equal('sealedSecret' in pairing, pairing.state === 'waiting', 'the secret goes with the waiting');
  assert.equal('expiresAt' in pairing, !finals.includes(pairing.state));
  assert.equal('serial' in pairing, pairing.state === 'issued' || pairing.state === 'active');
}

test('a state is over at its end time, not only after it', () => {
  const pairing = waiting();
  assert.equal(isDue(pairing, new Date(start + 999)), false);
  assert.equal(isDue(pairing, new Date(start + 1000)), true);
});

test('an expired request keeps its device, and an expired code has none', () => {
  const asked = step(waiting(), eventOf('confirm', start, 500), new Date(start));
  const expired = step(asked, { type: 'expire' }, new Date(start + 500));
  assert.equal(expired.state === 'expired' && expired.request, request);
  assert.equal('request' in step(waiting(), { type: 'expire' }, new Date(start + 1000)), false);
});
