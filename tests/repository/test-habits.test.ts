// Each helper against hanging tests and leftovers exists once, and all tests use it.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');
const files = globSync(['packages/*/src/**/*.test.ts', 'packages/*/src/**/testing/*.ts', 'tests/**/*.ts'], {
  cwd: repository,
}).filter((file) => file !== 'tests/repository/test-habits.test.ts');

/** Each match in test code, as `FILE:LINE`, except in these files. */
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

test('no test polls by itself: until() polls, and fails after a limit', () => {
  const polling =
    /\b(while|for) \([^\n]*\)\s*\{?\s*await (new Promise\(\(?\w*\)? => set(Timeout|Immediate)|sleep\(|pause\(|soon\(\))/g;
  const others = [
    // Counts turns of the event loop while the test awaits a promise.
    'packages/signer-pkcs11/src/token-link.test.ts',
    // Sends while more is requested.
    'packages/rpc/src/testing/calls-suite.ts',
  ];
  assert.deepEqual(places(polling, others), []);
});

test('no test has a time limit of its own: longestWaitMs is the limit, even for slow machines', () => {
  assert.deepEqual(places(/AbortSignal\.timeout\(\d{1,2}_?\d{3}\)/g, []), []);
});

test('no test makes a temporary folder by itself: temporaryFolder() makes and removes it', () => {
  const owners = [
    'tests/testing/temporary-folder.ts',
    // Mount points, which are removed at the unmount.
    'tests/testing/small-disk.ts',
    'packages/registry-sql/src/sqlite/full-disk.test.ts',
    // Inside a folder of temporaryFolder().
    'packages/transport-quic/src/quiche/library.test.ts',
    'tests/testing/bad-files/leaves-folder.ts',
  ];
  assert.deepEqual(places(/\bmkdtemp(Sync)?\(/g, owners), []);
});
