import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Continuity, DeviceRole, PairingState } from '@palyra/rpc/admin';
import fc from 'fast-check';
import width from 'fast-string-width';
import { screenLines, smallest } from './screen.ts';
import { disconnected, nothingSeen, pressed, type WatchState, withChange, withNews } from './state.ts';
import { sampleCode, sampleRequest } from './testing/samples.ts';

const evil = 'x\u001b[2J\u202e\r\ny';
const known = sampleRequest(1, { continuity: Continuity.KNOWN });
const other = sampleRequest(2, { continuity: Continuity.ANOTHER_KEY });
const see = (state: WatchState, ...pairings: readonly (typeof known)[]) =>
  pairings.reduce((seen, each) => withChange(seen, each, 'news'), state);
const show = (state: WatchState, columns = 60, rows = 30) =>
  screenLines(state, { columns, rows, nowMs: 0, codeCommand: 'palyra pairing code' }).map(({ text }) =>
    text.replaceAll('\u00a0', ' '),
  );
const press = (state: WatchState, ...keys: readonly string[]) =>
  keys.reduce((before, key) => pressed(before, key).state, state);

test('a request shows everything needed for the decision, beside codes and news', () => {
  const request = { ...known, failedGuesses: 1 };
  const listed = see(nothingSeen, request, sampleCode('236'), sampleCode('', { guessesLeft: 1 }));
  assert.deepEqual(show(withNews(listed, '14:05:09  Something.'), 60, 20), [
    'Pairing: 1 request, 2 open codes',
    '',
    '> laptop 1',
    '    apple bear cat1',
    '    known before, with this identity key',
    '    ! 1 wrong guess before',
    '    cli, 1:00:00 left',
    '    from 192.168.1.9',
    '    on linux-x64 node-24.21',
    '    key abababab abababab abababab abababab abababab',
    '    abababab abababab abababab',
    '',
    '',
    '',
    'Code 236  10:00 and 3 guesses left',
    'QR code  10:00 and 1 guess left',
    '',
    '14:05:09  Something.',
    '',
    'up/down select  a approve  r reject  ? help  q quit',
  ]);
  assert.deepEqual(show(withNews(listed, '14:05:09  Something.'), 60, 16).slice(-5), [
    '',
    'Code 236  10:00 and 3 guesses left',
    'QR code  10:00 and 1 guess left',
    '',
    'up/down select  a approve  r reject  ? help  q quit',
  ]);
});

test('another identity key is clear from the words, selected or not, and in the second question', () => {
  assert.match(show(see(nothingSeen, other)).join('\n'), /! KNOWN WITH ANOTHER IDENTITY KEY/);
  assert.match(show(see(nothingSeen, known, other)).join('\n'), /! KNOWN WITH ANOTHER IDENTITY KEY/);
  assert.doesNotMatch(show(see(nothingSeen, known)).join('\n'), /ANOTHER/);
  const asked = show(press(see(nothingSeen, other), 'a', 'y', 'r', 'e'));
  assert.match(asked.join('\n'), /ANOTHER identity key\.\nType replace and Enter .*\n.*\n> re_$/);
});

test('an operator is marked in the list and in the question', () => {
  const operator = sampleRequest(3, { continuity: Continuity.KNOWN, role: DeviceRole.OPERATOR });
  const state = see(nothingSeen, known, operator);
  assert.match(
    show(state).join('\n'),
    /laptop 3\n {4}apple bear cat3\n {4}! this device is an OPERATOR and stays one/,
  );
  assert.match(
    show(press(state, 'down', 'a'))

      .slice(-3)
      .join('\n'),
    /^! this device is an OPERATOR and stays one\napple bear cat3/,
  );
  const claimed = sampleRequest(4, { continuity: Continuity.ANOTHER_KEY, role: DeviceRole.OPERATOR });
  assert.match(show(see(nothingSeen, claimed)).join('\n'), /! this id is an OPERATOR; the new key does not/);
  assert.doesNotMatch(show(see(nothingSeen, known)).join('\n'), /OPERATOR/);
});

test('after the selected request ends, the list says so and offers no decision until another one is selected', () => {
  const state = see(nothingSeen, known, other);
  const ended = see(state, { ...known, state: PairingState.EXPIRED });
  const shown = show(ended).join('\n');
  assert.match(shown, /! The selected request has ended\. Up or down\s+selects\s+another\s+one\./);
  assert.match(shown, /laptop 2/);
  assert.doesNotMatch(shown, /^>|a approve/m);
  assert.match(show(press(ended, 'down')).join('\n'), /^> laptop 2[\s\S]*a.approve/m);
});

test('the question names the device', () => {
  assert.deepEqual(show(press(see(nothingSeen, known, other), 'down', 'a')).slice(-2), [
    'apple bear cat2',
    'Does the device show the same words? Approve "laptop 2"? y/N',
  ]);
});

test('a long reason shows its end', () => {
  const lines = show(press(see(nothingSeen, known), 'r', ...'a very long reason that goes on', '!'), 30);
  assert.equal(lines.at(-1), '> y long reason that goes on!_');
});

test('an empty list says how to make a code', () => {
  assert.match(show(nothingSeen).join('\n'), /No device is asking to be paired\.\n.*palyra pairing code/);
});

test('while the daemon does not answer, the screen says so and offers no decision', () => {
  const shown = show(disconnected(see(nothingSeen, known))).join('\n');
  assert.match(shown, /! The daemon does not answer\. Retrying\./);
  assert.doesNotMatch(shown, /approve/);
});

test('help names every key', () => {
  const shown = show(press(nothingSeen, '?'), 40).join('\n');
  for (const key of ['up, down, j, k', 'a ', 'r ', 'q ']) assert.ok(shown.includes(`\n${key}`), key);
});

test('with more requests than fit, the selected one is whole and the others are counted', () => {
  const many = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => sampleRequest(number));
  const shown = show(press(see(nothingSeen, ...many), ...'jjjj'), 60, 20).join('\n');
  assert.match(
    shown,
    /[1-9] more above[\s\S]*> laptop 5\n {4}apple bear cat5[\s\S]* {4}key [\s\S]*[1-9] more below/,
  );
});

test('in a window that is too small, the screen says so', () => {
  const { columns, rows } = smallest;
  const state = see(nothingSeen, known);
  assert.match(show(state, columns - 1, rows).join(' '), /too small\. It needs 30 by 12 characters/);
  assert.match(show(state, columns, rows - 1).join(' '), /too small/);
  assert.match(show(state, columns, rows).join('\n'), /apple bear cat1/);
});

test('in every window and for any device, lines fit and are printable, and a question is whole', () => {
  const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 70 }), fc.constant(evil));
  const request = fc.record({
    number: fc.integer({ min: 1, max: 9 }),
    name: text,
    platform: text,
    source: text,
    words: fc.constant('bed elephant strawberry'),
    continuity: fc.constantFrom(Continuity.NEW, Continuity.KNOWN, Continuity.ANOTHER_KEY, 99 as Continuity),
    role: fc.constantFrom(DeviceRole.UNSPECIFIED, DeviceRole.DEVICE, DeviceRole.OPERATOR),
  });
  const keys = fc.constantFrom([], ['a'], ['r', ...'because'], ['a', 'y'], ['?']);
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 12 }),
      keys,
      fc.array(text, { maxLength: 5 }),
      fc.integer({ min: 1, max: 120 }),
      fc.integer({ min: 1, max: 50 }),
      fc.boolean(),
      (requests, pressedKeys, news, columns, rows, away) => {
        const pairings = requests.map(({ number, ...changes }) => sampleRequest(number, changes));
        const listed = see(nothingSeen, ...pairings, sampleCode('1'));
        const asked = press(news.reduce(withNews, listed), ...pressedKeys);
        const lines = show(away ? disconnected(asked) : asked, columns, rows);
        assert.ok(lines.length <= rows, `${lines.length} of ${rows} rows`);
        for (const line of lines) {
          // Isolates have no width, and each is closed on its line.
          const text = line.replaceAll(/\u2068([^\u2068\u2069]+)\u2069/g, '$1');
          assert.ok(width(text) <= columns, `${width(text)} of ${columns}: ${line}`);
          assert.doesNotMatch(text, /[\p{Cc}\p{Cf}]/u);
        }
        if (columns < smallest.columns || rows < smallest.rows || away) return;
        const shown = lines.join(' ');
        const kind = asked.question?.kind;
        if (kind === 'approve') assert.match(shown, /bed elephant strawberry.*Approve ".*\? *y\/N$/);
        if (kind === 'reject') assert.match(shown, /Reject ".*\?.*> because_$/);
        if (kind === 'replace') assert.match(shown, /ANOTHER identity *key.*> _$/);
      },
    ),
  );
});
