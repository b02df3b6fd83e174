// Imports point one way. A circle, even of types only, means that two files should be one, or that something belongs in a new file.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');

/** Every file of the product, with its imports. */
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

/** The files of one circle, in order; undefined if there is no circle. */
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

test('no file imports itself through other files', () => {
  const imports = importsByFile();
  const port = imports.get('packages/identity/src/registry/port.ts');
  assert.ok(port?.includes('packages/identity/src/pairing/state.ts'), 'imports are found');
  assert.equal(circleIn(imports)?.join(' -> '), undefined);
});

test('the check finds a circle', () => {
  const imports = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['d', 'b']],
    ['d', []],
  ]);
  assert.deepEqual(circleIn(imports), ['b', 'c', 'b']);
});
