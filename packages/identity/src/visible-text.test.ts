import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { printable } from './visible-text.ts';

test('text of any length and kind is quickly made printable', () => {
  // A spacing mark. Stacking marks may follow it.
  for (const text of ['\u0903', '\u0903\u0903\u0301a', '\u0301', 'a\u0301\u0302', '\u0301\u0903']) {
    const startedAt = performance.now();
    printable(text.repeat(20_000));
    printable(`\u0301${text.repeat(20_000)}`);
    ok(performance.now() - startedAt < 2000, `${JSON.stringify(text)}: ${performance.now() - startedAt} ms`);
  }
});

test('stacked marks become one character, even with spacing marks between them', () => {
  const shown = '\uFFFD';
  const pile = '\u0301\u0302\u0303\u0304\u0305';
  equal(printable(`a${pile}b`), `a${shown}b`);
  equal(printable(`a${[...pile].join('\u0903\u0903')}b`), `a${shown}b`);
  equal(printable(`a\u0903\u0903${pile}b`), `a${shown}b`);
  equal(printable(`a\u0301\u0903\u0301\u0903b`), 'a\u0301\u0903\u0301\u0903b');
});
