import os from 'node:os';
import { test } from 'node:test';

test('a test that replaces a function twice', (t) => {
  for (const name of ['one', 'two']) t.mock.method(os, 'hostname', () => name);
  console.log(`process ${process.pid}`);
});
