// A call with more than some ten thousand arguments throws a RangeError. Lists that grow with the fleet are never spread into
// a call. Each exception here says why its list stays short.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';

const repository = new URL('../../', import.meta.url);
const collecting =
  /\b(?:push|unshift|max|min|hypot|fromCharCode|fromCodePoint|concat|splice|toSpliced|of|sequence|lvCat)\((?:[^()[\]]*, )?\.\.\.|\b(?:push|max|min|fromCharCode|concat)\.apply\(/;

const short: Readonly<Record<string, string>> = {
  'export const toLatin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);':
    'a path or a header, of a frame of 16 KiB',
  'bytes.push(...groups);': 'the 7-bit groups of one number of an object identifier',
  'const text = String.fromCharCode(...slot);': 'a slot',
  'return `${slot}-${String.fromCharCode(...secret)}`;': 'the secret of a code',
  'return btoa(String.fromCharCode(...bytes))': 'a secret and a fingerprint',
  "return hash('sha256', lvCat(identityKey, tlsKey, request.sealedAwaitKey, ...text));":
    'the texts of one request',
  'sequence(subjectAltName, octetString(sequence(...names))),': 'MAX_DAEMON_NAMES',
  'reasons.push(...(await suspicionOf(identity, record.serial)));': 'sentences about one certificate',
  'return btoa(String.fromCharCode(...new Uint8Array(buffer)))': 'random bytes of a session',
  'const top = Math.max(...values, 1);': 'the points of a chart',
  'const base64 = btoa(String.fromCharCode(...certificate));': 'one certificate',
};

test('no list that grows with the fleet is spread into the arguments of a call', async () => {
  const files = (await readdir(new URL('packages/', repository), { recursive: true })).filter(
    (file) =>
      /\.tsx?$/.test(file) && !/node_modules|\/gen\/|\/dist\/|\/testing\/|\.test\.ts|-suite\.ts$/.test(file),
  );
  assert.ok(files.length > 150, `only ${files.length} files were found`);
  for (const file of files) {
    const lines = (await readFile(new URL(`packages/${file}`, repository), 'utf8')).split('\n');
    for (const [at, line] of lines.entries()) {
      // A rest parameter is not a call.
      if (!collecting.test(line) || /^(?:export )?(?:function|const sequence)\b/.test(line)) continue;
      assert.ok(short[line.trim()], `packages/${file}:${at + 1} spreads a list: ${line.trim()}`);
    }
  }
});
