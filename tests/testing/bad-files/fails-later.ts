import process from 'node:process';
import { test } from 'node:test';

test('a test after which the process fails', () => {
  setTimeout(() => process.abort(), 500).unref();
});
