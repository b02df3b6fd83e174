// No statement reads the columns that a table happens to have (columns.ts).

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

test('every query names its columns', () => {
  const sources = globSync('**/*.ts', {
    cwd: import.meta.dirname,
    exclude: (path) => /\.test\.ts$|(?:^|\/)testing$/.test(path),
  });
  assert.ok(sources.length > 40, 'the sources were found');
  const every = /\b(?:selectAll|returningAll)\(|\bselect \*/i;
  const comments = /^\s*(?:\/\/|\/?\*).*$/gm;
  const found = sources.filter((path) =>
    every.test(readFileSync(join(import.meta.dirname, path), 'utf8').replace(comments, '')),
  );
  assert.deepEqual(found, []);
});
