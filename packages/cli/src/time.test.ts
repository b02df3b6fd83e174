import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from 'commander';
import { formatClock, formatSpan, formatTime, isoTime, parseSpan, withLocalTimes } from './time.ts';

test('a time is a number and a unit', () => {
  for (const [text, ms] of [
    ['90s', 90_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ] as const) {
    assert.equal(parseSpan(text), ms);
  }
});

for (const text of ['', '10', 'm', '0s', '-5m', '1.5h', '10 m', '10M', '1h30m', '9999999s', '400d', '٣m']) {
  test(`"${text}" is not a time`, () => {
    assert.throws(() => parseSpan(text), InvalidArgumentError);
  });
}

test('a span is written in a suitable unit', () => {
  const shown = [-5, 0, 45_000, 89_000, 90_000, 600_000, 5_400_000, 86_400_000, 12 * 86_400_000].map(
    formatSpan,
  );
  assert.deepEqual(shown, ['0 s', '0 s', '45 s', '89 s', '2 min', '10 min', '2 h', '24 h', '12 d']);
});

test('the day is left out when it is today', () => {
  const at = new Date(2026, 4, 1, 14, 5, 9).getTime();
  assert.equal(formatTime(at, new Date(2026, 4, 1, 23, 59).getTime()), '14:05');
  assert.equal(formatTime(at, new Date(2026, 4, 2, 0, 1).getTime()), '2026-05-01 14:05');
  assert.equal(formatClock(at), '14:05:09');
});

test('ISO times in a sentence become local times, and text that only looks like one stays', () => {
  const at = new Date(2026, 4, 1, 14, 5, 9);
  const sentence = (until: string) => `Revoked at ${until}: lost.`;
  assert.equal(withLocalTimes(sentence(at.toISOString()), at.getTime()), sentence('14:05'));
  assert.equal(withLocalTimes(sentence('2026-13-01T00:00:00.000Z'), 0), sentence('2026-13-01T00:00:00.000Z'));
});

test('0 means never, for people and for programs', () => {
  assert.equal(formatTime(0n, 1), '-');
  assert.equal(isoTime(0n), null);
  assert.equal(isoTime(2n ** 63n - 1n), null);
  assert.equal(isoTime(1_777_777_777_000n), '2026-05-03T03:09:37.000Z');
});
