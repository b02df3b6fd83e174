import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guessOutcomes } from './guess-outcome.ts';

const row = (action: string, detail: object = {}, subject = 'one') => ({
  action,
  subject,
  detailJson: JSON.stringify(detail),
});
const guess = (left: number, subject = 'one') => row('code.guessed', { left }, subject);

test('the guess that the request names is right, also when another one came after it', () => {
  const rows = [
    row('request.received', { guesses_left: 1 }),
    guess(0),
    guess(1),
    guess(2),
    row('code.minted'),
  ];
  assert.deepEqual(guessOutcomes(rows), [undefined, 'wrong', 'right', 'wrong', undefined]);
});

for (const end of ['code.exhausted', 'code.expired', 'code.withdrawn']) {
  test(`every guess before ${end} was wrong`, () => {
    assert.deepEqual(guessOutcomes([row(end), guess(0), guess(1)]), [undefined, 'wrong', 'wrong']);
  });
}

test('a guess at a code that still waits is open, whatever happened to other codes', () => {
  const rows = [row('request.received', { guesses_left: 2 }, 'other'), guess(2), guess(2, 'other')];
  assert.deepEqual(guessOutcomes(rows), [undefined, 'open', 'right']);
});

test('rows that cannot be read make no guess right', () => {
  for (const detailJson of ['', 'null', '[]', '{"left":"2"}', '{"left":']) {
    const rows = [
      { action: 'request.received', subject: 'one', detailJson },
      { action: 'code.guessed', subject: 'one', detailJson },
    ];
    assert.deepEqual(guessOutcomes(rows), [undefined, 'wrong'], detailJson);
  }
});
