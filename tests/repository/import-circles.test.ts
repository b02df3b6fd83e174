// Imports point one way. A circle, even of types alone, means that two files are one, or that something has no home yet.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');

/** Every file of the product, with those that it imports. */
function importsByFile(): Map<string, readonly string[]> {
  const files = globSync('packages/*/src/**/*.ts', {
    cwd: repository,
    exclude: (path) => /\.test\.ts$|(?:^|\/)(?:gen|node_modules)$/.test(path),
  });
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(repository, file), 'utf8');
      const found = [...text.matchAll(/^(?:import|export|\} from)\b[^'"]*['"](\.[^'"]+)['"]/gms)];
      return [file, found.map(([, path]) => join(dirname(file), path!))];
    }),
  );
}

/** The files of one circle, in order; undefined when there is none. */
function circleIn(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const next of imports.get(file) ?? []) {
      const circle = visit(next);
      if (circle) return circle;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of imports.keys()) {
    const circle = visit(file);
    if (circle) return circle;
  }
  return undefined;
}

test('no file of a package imports itself by way of others', () => {
  const imports = importsByFile();
  const port = imports.get('packages/identity/src/registry/port.ts');
  assert.ok(port?.includes('packages/identity/src/pairing/state.ts'), 'imports are found');
  assert.equal(circleIn(imports)?.join(' -> '), undefined);
});

test('a circle is found', () => {
  const imports = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['d', 'b']],
    ['d', []],
  ]);
  assert.deepEqual(circleIn(imports), ['b', 'c', 'b']);
});
