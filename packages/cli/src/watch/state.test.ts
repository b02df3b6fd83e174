import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Continuity, DeviceRole, PairingState } from '@palyra/rpc/admin';
import fc from 'fast-check';
import type { Key } from './keys.ts';
import {
  type Decision,
  disconnected,
  nothingSeen,
  pressed,
  reconnected,
  type WatchState,
  withChange,
} from './state.ts';
import { sampleCode, sampleRequest } from './testing/samples.ts';

const one = sampleRequest(1);
const two = sampleRequest(2);
const changed = sampleRequest(3, { continuity: Continuity.ANOTHER_KEY });
const seenOf = ({ device }: typeof one) => ({ words: device!.words, role: device!.role });
const seen = (...pairings: readonly (typeof one)[]) =>
  pairings.reduce((state, each) => withChange(state, each, 'news'), nothingSeen);

/** The state after the keys, and the decisions they made. */
function after(state: WatchState, ...keys: readonly Key[]) {
  const commands: (Decision | { do: 'quit' })[] = [];
  for (const key of keys) {
    const next = pressed(state, key);
    state = next.state;
    if (next.command) commands.push(next.command);
  }
  return { state, commands };
}

test('the first request is selected, and stays selected when others arrive', () => {
  assert.equal(seen(one).selected, one.id);
  assert.equal(seen(one, two).selected, one.id);
});

test('arrows and j and k select, and stop at the ends', () => {
  const state = seen(one, two, changed);
  assert.equal(after(state, 'down').state.selected, two.id);
  assert.equal(after(state, 'j', 'j', 'j').state.selected, changed.id);
  assert.equal(after(state, 'down', 'up', 'k').state.selected, one.id);
});

test('a asks a question, and only y approves, without replacing a key', () => {
  assert.deepEqual(after(seen(one), 'a', 'y').commands, [
    { do: 'approve', id: one.id, seen: seenOf(one), replaceIdentityKey: false },
  ]);
  for (const key of ['n', 'enter', 'escape', 'a', 'other', ' ']) {
    const { state, commands } = after(seen(one), 'a', key);
    assert.deepEqual(commands, [], key);
    assert.equal(state.question, undefined, key);
  }
});

test('another identity key also needs the whole word and Enter', () => {
  const state = seen(changed);
  assert.deepEqual(after(state, 'a', 'y').commands, []);
  assert.deepEqual(after(state, 'a', 'y', 'y', 'enter').commands, []);
  assert.deepEqual(after(state, 'a', 'y', ...'replac', 'enter').commands, []);
  assert.deepEqual(after(state, 'a', 'y', ...'replacee', 'enter').commands, []);
  assert.deepEqual(after(state, 'a', 'y', ...'replace', 'escape', 'enter').commands, []);
  assert.deepEqual(after(state, 'a', 'y', ...'replacs', 'backspace', 'e', 'enter').commands, [
    { do: 'approve', id: changed.id, seen: seenOf(changed), replaceIdentityKey: true },
  ]);
});

test('r takes an optional reason, and Escape cancels', () => {
  const state = seen(one);
  assert.deepEqual(after(state, 'r', ...'not mine é', 'enter').commands, [
    { do: 'reject', id: one.id, reason: 'not mine é' },
  ]);
  assert.deepEqual(after(state, 'r', 'enter').commands, [{ do: 'reject', id: one.id, reason: '' }]);
  assert.deepEqual(after(state, 'r', 'x', 'escape').commands, []);
});

test('a reason is never longer than the daemon allows', () => {
  const { commands } = after(seen(one), 'r', ...'x'.repeat(199), '😀', 'enter');
  assert.deepEqual(commands, [{ do: 'reject', id: one.id, reason: 'x'.repeat(199) }]);
});

test('keys meant for a request that has ended do not affect another one', () => {
  for (const first of [['a'], ['r', 'n', 'o']]) {
    const asked = after(seen(one, two), ...first).state;
    const ended = withChange(asked, { ...one, state: PairingState.EXPIRED }, 'it expired');
    assert.deepEqual(ended.question, { kind: 'ended' });
    const { state, commands } = after(ended, 'y', 'a', 'y', ' ', 'r');
    assert.deepEqual(commands, []);
    assert.deepEqual(state.question, { kind: 'ended' });
    assert.equal(after(state, 'enter').state.question, undefined);
  }
});

test('a question stays with its request when others arrive and end', () => {
  const asked = after(seen(one, two), 'down', 'a').state;
  const later = withChange(withChange(asked, { ...one, state: PairingState.REJECTED }, ''), changed, '');
  assert.deepEqual(after(later, 'y').commands, [
    { do: 'approve', id: two.id, seen: seenOf(two), replaceIdentityKey: false },
  ]);
});

test('after the selected request has ended, decision keys do nothing, and say so', () => {
  for (const end of [PairingState.APPROVED, PairingState.REJECTED, PairingState.EXPIRED]) {
    const state = after(seen(one, two, changed), 'down').state;
    const ended = withChange(state, { ...two, state: end }, 'it ended');
    assert.equal(ended.selected, two.id);
    for (const keys of [
      ['a', 'y'],
      ['r', 'enter'],
      ['r', 'x', 'enter'],
    ]) {
      const { state: still, commands } = after(ended, ...keys);
      assert.deepEqual(commands, []);
      assert.equal(still.question, undefined);
      assert.match(still.news.at(-1)!, /the selected request has ended/);
    }
    assert.equal(after(ended, 'down').state.selected, changed.id);
    assert.equal(after(ended, 'up').state.selected, one.id);
  }
});

test('a request that arrives after the selected one has ended is not selected automatically', () => {
  const ended = withChange(seen(one), { ...one, state: PairingState.EXPIRED }, 'expired');
  const arrived = withChange(ended, two, 'arrived');
  assert.deepEqual(after(arrived, 'a', 'y', 'r', 'enter').commands, []);
  assert.deepEqual(after(arrived, 'down', 'a', 'y').commands, [
    { do: 'approve', id: two.id, seen: seenOf(two), replaceIdentityKey: false },
  ]);
});

test('the selection stays on its request when the daemon returns and sends the list in another order', () => {
  const state = after(seen(one, two), 'down').state;
  const back = reconnected(disconnected(state));
  assert.deepEqual(after(withChange(back, one, ''), 'a', 'y').commands, []);
  assert.equal(withChange(withChange(back, one, ''), two, '').selected, two.id);
});

test('the approval contains the details that were on the screen with the question', () => {
  const asked = after(seen(one), 'a').state;
  const other = { ...one, device: { ...one.device!, role: DeviceRole.OPERATOR } };
  assert.deepEqual(after(withChange(asked, other, ''), 'y').commands, [
    { do: 'approve', id: one.id, seen: seenOf(one), replaceIdentityKey: false },
  ]);
});

test('a code is listed while it waits; a guess is news, a new code is not', () => {
  const fresh = withChange(nothingSeen, sampleCode('236'), 'it waits');
  assert.deepEqual([fresh.codes.length, fresh.news], [1, []]);
  const tried = withChange(fresh, sampleCode('236', { failedGuesses: 1, guessesLeft: 2 }), 'tried');
  assert.equal(tried.codes[0]?.guessesLeft, 2);
  assert.deepEqual(tried.news, ['tried']);
  const over = withChange(tried, sampleCode('236', { state: PairingState.EXHAUSTED }), 'used up');
  assert.deepEqual([over.codes, over.news], [[], ['tried', 'used up']]);
});

test('without the daemon no decision is possible, and an open question is closed', () => {
  const state = disconnected(after(seen(one), 'a').state);
  assert.deepEqual(state.question, { kind: 'ended' });
  const { state: still, commands } = after(state, 'enter', 'a', 'y', 'r', 'enter');
  assert.deepEqual(commands, []);
  assert.equal(still.question, undefined);
  assert.deepEqual(after(still, 'q').commands, [{ do: 'quit' }]);
});

test('after a restart the daemon sends everything again, and only the news are kept', () => {
  const before = withChange(seen(one, two), { ...two, state: PairingState.EXPIRED }, 'expired');
  assert.deepEqual(reconnected(disconnected(before)), {
    ...nothingSeen,
    selected: one.id,
    news: ['expired'],
  });
});

test('Ctrl-C quits from every question, q only where no text is typed', () => {
  for (const first of [[], ['?'], ['a'], ['r']]) {
    assert.deepEqual(after(seen(one), ...first, 'ctrl-c').commands, [{ do: 'quit' }]);
  }
  assert.deepEqual(after(seen(one), 'r', 'q').commands, []);
});

test('in a window that is too small, keys can only quit', () => {
  for (const first of [[], ['a'], ['r', 'x'], ['?']]) {
    const { state } = after(seen(one), ...first);
    for (const key of ['a', 'r', 'y', 'j', 'enter', 'escape', 'x']) {
      assert.deepEqual(pressed(state, key, false), { state });
    }
    assert.deepEqual(pressed(state, 'q', false).command, { do: 'quit' });
  }
});

test('with any keys and changes, only a listed request is decided, and another identity key only by the word', () => {
  const key = fc.constantFrom('a', 'r', 'y', 'j', 'k', '?', 'enter', 'escape', 'x', 'backspace', 'replace');
  const change = fc.record({
    pairing: fc.constantFrom(one, two, changed),
    state: fc.constantFrom(
      PairingState.PENDING_APPROVAL,
      PairingState.APPROVED,
      PairingState.REJECTED,
      PairingState.EXPIRED,
    ),
  });
  fc.assert(
    fc.property(fc.array(fc.oneof(key, change), { maxLength: 60 }), (steps) => {
      let state = nothingSeen;
      let typed: string[] = [];
      for (const step of steps) {
        const before = state;
        if (typeof step === 'object') {
          state = withChange(state, { ...step.pairing, state: step.state }, 'news');
          // Only a key moves the selection, except for the first request.
          if (before.selected) assert.equal(state.selected, before.selected);
          continue;
        }
        // The whole word is one step here, because random letters would never form it.
        for (const each of step === 'replace' ? [...step] : [step]) {
          typed = [...typed, each].slice(-8);
          const { state: next, command } = pressed(state, each);
          if (command && command.do !== 'quit') {
            assert.ok(state.requests.some((request) => request.id === command.id));
            if (command.do === 'approve' && command.id === changed.id) {
              assert.deepEqual(typed, [...'replace', 'enter']);
              assert.ok(command.replaceIdentityKey);
            }
          }
          state = next;
        }
      }
    }),
  );
});
