// Every option of a public function has a comment, which an editor shows.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');

const read = (file: string) => readFileSync(join(repository, file), 'utf8');

/** The names that the packages export, on all subpaths. */
const exported = new Set(
  globSync('packages/*/package.json', { cwd: repository }).flatMap((file) => {
    const { exports = {} } = JSON.parse(read(file));
    return Object.values<string>(typeof exports === 'string' ? [exports] : exports)
      .filter((face) => !face.includes('/testing/'))
      .flatMap((face) => [...read(join(dirname(file), face)).matchAll(/\w+/g)].map(([name]) => name));
  }),
);

/** The members without a comment in each exported interface of options or limits, as `FILE: OPTIONS.member`. */
function undocumented(file: string): string[] {
  const lines = read(file).split('\n');
  const found: string[] = [];
  let options: string | undefined;
  for (const [index, line] of lines.entries()) {
    const name = /^export interface (\w*(?:Options|Limits))\b/.exec(line)?.[1];
    if (name && exported.has(name)) options = name;
    if (line === '}') options = undefined;
    const member = /^ {2}(?:readonly )?(\w+)\??[:(]/.exec(line)?.[1];
    if (options && member && !lines[index - 1]?.trim().endsWith('*/'))
      found.push(`${file}: ${options}.${member}`);
  }
  return found;
}

test('every exported option and limit has a comment', () => {
  const sources = globSync('packages/*/src/**/*.ts', {
    cwd: repository,
    exclude: ['**/*.test.ts', '**/testing/**', '**/gen/**', '**/*.d.ts'],
  });
  assert.ok(sources.length > 200 && exported.has('StartOptions'), 'the sources were found');
  assert.deepEqual(sources.sort().flatMap(undocumented), []);
});

test('every setting of the configuration has a comment', () => {
  const schema = read('packages/daemon/src/config.ts')
    .split('export const configSchema')[1]!
    .split('\n});')[0]!
    .split('\n');
  const bare = schema.flatMap((line, index) => {
    const setting = /^ +(\w+): (?!z\.literal|z$)\S/.exec(line)?.[1];
    return setting && !schema[index - 1]!.trim().endsWith('*/') ? [setting] : [];
  });
  assert.deepEqual(bare, []);
});
