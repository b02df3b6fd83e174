// A test that blocks the event loop for ever, with a child.

import { spawn } from 'node:child_process';
import { test } from 'node:test';

test('a test before it passes', () => {});
test('a test that spins for ever', () => {
  spawn('sleep', ['1000'], { stdio: 'ignore' });
  for (;;);
});
