// A test that waits for ever, between others. The open handle keeps the process alive.

import { test } from 'node:test';

test('a test before it passes', () => {});
test('a test that hangs for ever', async () => {
  setInterval(() => {}, 1000);
  await new Promise(() => {});
});
test('a test after it never runs', () => {});
