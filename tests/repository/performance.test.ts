// docs/performance.md and its plots are made from the figures that were kept, and written by nobody.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type KeptFigures, pages } from '../../bench/page/page.ts';

const docs = join(import.meta.dirname, '../../docs');
const read = (path: string) => readFileSync(join(docs, path), 'utf8');

test('docs/performance.md and its plots show the figures of docs/performance/figures.json', () => {
  const made = pages(JSON.parse(read('performance/figures.json')) as KeptFigures);
  for (const [path, content] of made)
    assert.equal(read(path), content, `docs/${path} is made by: npm run bench -- --plots`);
  const plots = globSync('performance/*.svg', { cwd: docs }).sort();
  assert.deepEqual(plots, [...made.keys()].filter((path) => path.endsWith('.svg')).sort());
  assert.ok(plots.length > 0);
});
