import process from 'node:process';
import { test } from 'node:test';

test('a test that leaves a variable', () => {
  process.env.PALYRA_TEST_LEFT = 'left';
});
