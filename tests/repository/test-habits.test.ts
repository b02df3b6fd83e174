// What makes tests hang or leave something has one owner each, and the rest of the test code asks there.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');
const files = globSync(['packages/*/src/**/*.test.ts', 'packages/*/src/**/testing/*.ts', 'tests/**/*.ts'], {
  cwd: repository,
}).filter((file) => file !== 'tests/repository/test-habits.test.ts');

/** Each place in test code that fits, as `FILE:LINE`, but for these files. */
function places(pattern: RegExp, but: readonly string[]): string[] {
  return files
    .filter((file) => !but.includes(file))
    .flatMap((file) => {
      const text = readFileSync(join(repository, file), 'utf8');
      return [...text.matchAll(pattern)].map(
        ({ index }) => `${file}:${text.slice(0, index).split('\n').length}`,
      );
    });
}

test('no test polls by itself: until() does, and gives up loudly', () => {
  const polling =
    /\b(while|for) \([^\n]*\)\s*\{?\s*await (new Promise\(\(?\w*\)? => set(Timeout|Immediate)|sleep\(|pause\(|soon\(\))/g;
  const others = [
    // Counts the turns that others had, for as long as a promise takes that the test waits for.
    'packages/signer-pkcs11/src/token-link.test.ts',
    // Sends for as long as it is asked for more.
    'packages/rpc/src/testing/calls-suite.ts',
  ];
  assert.deepEqual(places(polling, others), []);
});

test('no test is given a few seconds for what takes longer on a slow machine: longestWaitMs is the bound', () => {
  assert.deepEqual(places(/AbortSignal\.timeout\(\d{1,2}_?\d{3}\)/g, []), []);
});

test('no test makes a temporary folder by itself: temporaryFolder() does, and it goes', () => {
  const owners = [
    'tests/testing/temporary-folder.ts',
    // Mount points, which go when they are unmounted.
    'tests/testing/small-disk.ts',
    'packages/registry-sql/src/sqlite/full-disk.test.ts',
    // Below a folder of temporaryFolder().
    'packages/transport-quic/src/quiche/library.test.ts',
    'tests/testing/bad-files/leaves-folder.ts',
  ];
  assert.deepEqual(places(/\bmkdtemp(Sync)?\(/g, owners), []);
});
