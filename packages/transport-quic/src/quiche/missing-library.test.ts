import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { missingLibrary, prebuilt } from './missing-library.ts';

const name = '@currentspace/http3';

test('the listed platforms are those for which the library contains a native part', () => {
  const folder = join(createRequire(import.meta.url).resolve(name), '../..');
  const files = globSync('http3.*.node', { cwd: folder });
  assert.deepEqual(files.map((file) => basename(file, '.node').slice('http3.'.length)).sort(), prebuilt);
});

test('the error says whether the library is missing, damaged or not made for this platform', () => {
  const missing = new Error('Cannot find native binding.', {
    cause: Object.assign(new Error('Cannot find module'), { code: 'MODULE_NOT_FOUND' }),
  });
  const damaged = new Error('Cannot find native binding.', {
    cause: Object.assign(new Error('http3.node: file too short\nand more'), { code: 'ERR_DLOPEN_FAILED' }),
  });
  const start = /^QUIC needs the native library of @currentspace\/http3, which /.source;
  for (const [cause, platform, expected] of [
    [missing, 'linux-x64-gnu', /is not installed for linux-x64-gnu\. In the checkout, run: npm ci$/],
    [
      damaged,
      'linux-x64-gnu',
      /is installed but does not load on linux-x64-gnu: http3\.node: file too short\. .*npm ci$/,
    ],
    [missing, 'linux-x64-musl', /does not exist for linux-x64-musl, only for darwin-arm64, .*gnu\.$/],
  ] as const) {
    const error = missingLibrary(name, cause, platform);
    assert.equal(error.code, 'QUIC_UNAVAILABLE');
    assert.match(error.message, new RegExp(start + expected.source));
  }
});
