import assert from 'node:assert/strict';
import test from 'node:test';
import { appendPiece } from './pieces.ts';

test('a hundred thousand pieces of one byte are a hundred, and the same bytes', () => {
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
  const pieces: Uint8Array[] = [];
  for (const byte of bytes) appendPiece(pieces, Uint8Array.of(byte));
  assert.ok(pieces.length <= 100, `${pieces.length} pieces`);
  assert.deepEqual(Buffer.concat(pieces), bytes);
});

test('what is large is not copied', () => {
  const large = new Uint8Array(1024);
  const pieces: Uint8Array[] = [];
  appendPiece(pieces, large);
  appendPiece(pieces, Uint8Array.of(1));
  appendPiece(pieces, large);
  assert.equal(pieces[0], large);
  assert.equal(pieces[2], large);
});
