import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyReader } from './keys.ts';

const read = (...chunks: readonly (string | Uint8Array)[]) => {
  const reader = keyReader();
  return chunks.flatMap((chunk) => reader(Buffer.from(chunk)));
};

test('a character is a key named by itself, and special keys have names', () => {
  assert.deepEqual(read('aé漢😀 \r\u007f\u0003\u001b'), [
    ...['a', 'é', '漢', '😀', ' '],
    ...['enter', 'backspace', 'ctrl-c', 'escape'],
  ]);
});

test('the arrows are known in both modes of a terminal', () => {
  assert.deepEqual(read('\u001b[A\u001bOA\u001b[B\u001bOB'), ['up', 'up', 'down', 'down']);
});

test('other keys and cursor movements are not characters', () => {
  assert.deepEqual(read('\u001b[1;5C\u001b[3~\u001bOP\u0000\u202e\u2028\ue000'), Array(7).fill('other'));
});

test('a character split across two chunks is one key', () => {
  const euro = Buffer.from('€');
  assert.deepEqual(read(euro.subarray(0, 1), euro.subarray(1)), ['€']);
});

test('bytes that are not text are `other`', () => {
  assert.deepEqual(read(Uint8Array.of(0xff, 0xfe, 0x61)), ['\ufffd', '\ufffd', 'a']);
});
