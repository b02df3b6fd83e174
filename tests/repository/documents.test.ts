// Checks statements of the documents about the repository: dependencies, links, files.

import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const packages = ['package.json', ...globSync('packages/*/package.json', { cwd: repository })].map((path) =>
  JSON.parse(read(path)),
);
const foreign = (kind: 'dependencies' | 'devDependencies') =>
  new Set(
    packages
      .flatMap((each) =>
        Object.keys({ ...each[kind], ...(kind === 'dependencies' && each.optionalDependencies) }),
      )
      .filter((name) => !name.startsWith('@palyra/'))
      .sort(),
  );

test('docs/dependencies.md gives a reason for every dependency, and lists nothing else', () => {
  const table = read('docs/dependencies.md');
  const listed = [...table.matchAll(/^\| `([^`]+)` +\|/gm)].map(([, name]) => name!).sort();
  assert.deepEqual(listed, [...foreign('dependencies').union(foreign('devDependencies'))].sort());
});

test('README.md lists exactly the run-time dependencies', () => {
  const section = read('README.md').split('\n## Dependencies\n')[1]?.split('\n## ')[0] ?? '';
  const listed = [...section.matchAll(/^\| `([^`]+)` +\|/gm)].map(([, name]) => name!).sort();
  assert.deepEqual(listed, [...foreign('dependencies')]);
});

test('every link between the documents has a target', () => {
  const pages = [
    'README.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
    ...globSync('docs/{*,decisions/*}.md', { cwd: repository }),
  ];
  let links = 0;
  for (const page of pages) {
    for (const [, target] of read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^https?:/.test(target!)) continue;
      links += 1;
      assert.ok(existsSync(join(repository, dirname(page), target!)), `${page} links to ${target}`);
    }
  }
  assert.ok(links > 10);
});

test('a decision is half a page', () => {
  for (const page of globSync('docs/decisions/*.md', { cwd: repository })) {
    const text = read(page);
    const lines = text.split('\n').length;
    assert.ok(lines <= 30 && text.length <= 2_500, `${page} has ${lines} lines, ${text.length} characters`);
  }
});

test('every source file that a document names exists', () => {
  const pages = ['*.md', 'docs/**/*.md', 'packages/*/README.md'].flatMap((each) =>
    globSync(each, { cwd: repository, exclude: ['CHANGELOG.md', 'docs/api'] }),
  );
  let named = 0;
  for (const page of pages) {
    for (const [path] of read(page).matchAll(/\b[a-z0-9-]+\/src\/[\w./-]*[\w-]\.(?:ts|proto)\b/g)) {
      named += 1;
      assert.ok(existsSync(join(repository, 'packages', path)), `${page} names ${path}`);
    }
  }
  assert.ok(named > 100);
});

test('every folder and file in CONTRIBUTING.md exists', () => {
  const named = [
    ...read('CONTRIBUTING.md').matchAll(/`((?:packages\/)?[a-z0-9-]+\/(?:src|proto)\b[\w./-]*)`/g),
  ];
  assert.ok(named.length > 30);
  for (const [, path] of named) {
    const file = path!.startsWith('packages/') ? path! : join('packages', path!);
    assert.ok(existsSync(join(repository, file)), path!);
  }
});

test('docs/architecture.md lists exactly the existing rooms', () => {
  const table = read('docs/architecture.md').split('\n## Rooms\n')[1]?.split('\n## ')[0] ?? '';
  const shown = [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell]) => {
    const [first = '', ...others] = [...cell!.matchAll(/`([^`]+)`/g)].map(([, path]) => path!);
    return [first, ...others.map((path) => join(dirname(first), path))];
  });
  for (const room of shown) assert.ok(existsSync(join(repository, 'packages', room)), room);
  for (const { name } of packages) {
    const source = `${name?.replace('@palyra/', '')}/src/`;
    if (!shown.some((room) => room.startsWith(source) && room !== source)) continue;
    for (const folder of globSync('*/', { cwd: join(repository, 'packages', source) }))
      if (!['gen', 'testing', 'files', 'crypto'].includes(folder))
        assert.ok(shown.includes(`${source}${folder}/`), `${source}${folder}`);
  }
});

test('docs/embedding.md gives the same Node versions as each package.json', () => {
  const page = read('docs/embedding.md');
  for (const { name, engines } of packages.slice(1).filter((each) => !each.private)) {
    const [, said] = new RegExp(`^\\| \`${name}\` +\\| \`([^\`]+)\``, 'm').exec(page) ?? assert.fail(name);
    assert.equal(said!.replaceAll('\\|', '|'), engines.node, name);
  }
});

test('README.md gives the correct length of examples/own-service.ts', () => {
  const lines = read('examples/own-service.ts').trimEnd().split('\n').length;
  assert.ok(read('README.md').includes(`both sides in ${lines} lines`), String(lines));
});
