import assert from 'node:assert/strict';
import os from 'node:os';
import { test } from 'node:test';

test('a test of a function that another file replaced', () => {
  assert.notEqual(os.hostname(), 'one');
  console.log(`process ${process.pid}`);
});
