// The sources of this repository as text, for tests that keep a fact in one place.

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Source {
  readonly path: string;
  readonly text: string;
}

const repository = join(import.meta.dirname, '../..');
const isTest = (path: string) => /\.test\.ts$|(?:^|\/)testing\/|^tests\/|^bench\//.test(path);

export const sources: readonly Source[] = globSync('{packages,scripts,examples,tests,bench}/**/*.{ts,tsx}', {
  cwd: repository,
  exclude: (path) => /node_modules|(?:^|\/)(?:dist|gen)$/.test(path),
}).map((path) => ({ path, text: readFileSync(join(repository, path), 'utf8') }));

/** Without the code for tests. */
export const product: readonly Source[] = sources.filter(({ path }) => !isTest(path));

/** The files that the pattern is found in. */
export const placesOf = (pattern: RegExp, among: readonly Source[] = product): string[] =>
  among
    .filter(({ text }) => pattern.test(text))
    .map(({ path }) => path)
    .sort();
