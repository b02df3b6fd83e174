import process from 'node:process';
import { test } from 'node:test';

test('a test in which the process crashes', async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.abort();
});
