// Devices and certificates have one writer, so that no row changes without its audit row and event. Move any code that this test
// finds in another file to fleet/change.ts.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '../..');
const writer = 'packages/identity/src/fleet/change.ts';
/** The methods of `RegistryTransaction` that write a device, a certificate, or the end of one. */
const writing = /\.(insertDevice|updateDevice|insertCertificate|moveCertificate|insertRevocation)\(/g;

const sources = globSync('{packages/*/src,packages/console/web,scripts,examples}/**/*.{ts,tsx}', {
  cwd: repository,
  // SQL statements with the same names implement the port.
  exclude: (path) => /\.test\.ts$|(?:^|\/)(?:testing|node_modules|gen)$|^packages\/registry-sql$/.test(path),
}).map((path) => ({ path, text: readFileSync(join(repository, path), 'utf8') }));

test('one file writes devices, certificates and revocations', () => {
  assert.ok(sources.length > 200, 'the sources were found');
  const others = sources.filter(({ path, text }) => path !== writer && text.match(writing));
  assert.deepEqual(
    others.map(({ path, text }) => `${path}: ${text.match(writing)}`),
    [],
  );
});

test('the writer makes each of these calls, in as few places as possible', () => {
  const { text } = sources.find(({ path }) => path === writer)!;
  assert.deepEqual([...text.matchAll(writing)].map(([, method]) => method).sort(), [
    'insertCertificate',
    'insertDevice',
    'insertRevocation',
    'insertRevocation',
    'insertRevocation',
    'moveCertificate',
    'updateDevice',
  ]);
});
