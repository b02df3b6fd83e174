// Code for browsers imports no Node module, directly or indirectly, and names nothing that only Node has.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const packages = new URL('../../', import.meta.url);
const entries = [
  'rpc/src/portable.ts',
  'identity/src/portable.ts',
  'identity/src/device/portable.ts',
  'channel/src/index.ts',
  'browser/src/index.ts',
];

test('code for browsers does not need Node', () => {
  const files = new Set<string>();
  for (const entry of entries) follow(new URL(entry, packages), files);
  assert.ok(files.size > 20, `only ${files.size} files were followed`);
});

function follow(file: URL, seen: Set<string>): void {
  if (seen.has(file.href)) return;
  seen.add(file.href);
  const source = readFileSync(file, 'utf8').replaceAll(/^\s*(\/\/|\/?\*).*$/gm, '');
  const place = file.href.slice(packages.href.length);
  assert.doesNotMatch(source, /\bBuffer\.|\bNodeJS\.|\bprocess\.\w|\.unref\(/, place);
  for (const [, name = ''] of source.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)) {
    if (name.startsWith('.')) follow(new URL(name, file), seen);
    else if (name.startsWith('@palyra/')) {
      const [, folder = '', rest = ''] = /^@palyra\/([\w-]+)(\/[\w-]+)?$/.exec(name) ?? [];
      follow(new URL(`${folder}/${pathOf(folder, `.${rest}`)}`, packages), seen);
    } else
      assert.match(
        name,
        /^(@connectrpc\/connect|@bufbuild\/protobuf|@noble\/\w+|@scure\/bip39)(\/[\w.-]+)*$/,
        `${place}: ${name}`,
      );
  }
}

/** The file that the package exports under this name. */
function pathOf(folder: string, name: string): string {
  const { exports } = JSON.parse(readFileSync(new URL(`${folder}/package.json`, packages), 'utf8'));
  return typeof exports === 'string' ? exports : exports[name];
}
