// The test passes, but the process never ends.

import { test } from 'node:test';

test('a test that leaves a timer', () => {
  setInterval(() => {}, 1000);
});
