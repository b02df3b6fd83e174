import { test } from 'node:test';

test('a test that passes', (t) => {
  t.diagnostic('a word');
});
test('a test that is skipped', { skip: 'why not' }, () => {});
