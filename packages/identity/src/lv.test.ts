import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesToHex } from '@noble/curves/utils.js';
import fc from 'fast-check';
import { hasCode } from './errors.ts';
import { lvCat, lvSplit } from './lv.ts';

const parts = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 });

test('the examples of the draft are reproduced (lv_cat, prepend_len)', () => {
  assert.equal(bytesToHex(lvCat('1234', '5', '', '678')), '043132333401350003363738');
  assert.equal(bytesToHex(lvCat('')), '00');
  assert.equal(bytesToHex(lvCat('1234')), '0431323334');
  const bytes = Uint8Array.from({ length: 128 }, (_, at) => at);
  assert.equal(bytesToHex(lvCat(bytes.subarray(0, 127))).slice(0, 6), '7f0001');
  assert.equal(bytesToHex(lvCat(bytes)).slice(0, 8), '80010001');
});

test('joined parts are split into the same parts', () => {
  fc.assert(
    fc.property(parts, (list) => {
      assert.deepEqual(lvSplit(lvCat(...list), list.length), list);
    }),
  );
});

test('text is joined as UTF-8', () => {
  assert.deepEqual(lvCat('Küche 🍳'), lvCat(new TextEncoder().encode('Küche 🍳')));
});

test('a part of any length has one encoding, and is read back', () => {
  for (const length of [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const part = new Uint8Array(length).fill(7);
    assert.deepEqual(lvSplit(lvCat(part), 1), [part]);
  }
});

test('joining the parts of any valid text gives the same text: no tuple has two encodings', () => {
  const bytes = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 4 }), (data, count) => {
      let split: Uint8Array[];
      try {
        split = lvSplit(data, count);
      } catch (error) {
        assert.ok(hasCode(error, 'MESSAGE_INVALID'));
        return;
      }
      assert.deepEqual(lvCat(...split), data);
    }),
    { numRuns: 2000 },
  );
});

test('a missing or extra part and a missing or extra byte are refused', () => {
  fc.assert(
    fc.property(parts, (list) => {
      const data = lvCat(...list);
      const refused = (bytes: Uint8Array, count: number) =>
        assert.throws(
          () => lvSplit(bytes, count),
          (error) => hasCode(error, 'MESSAGE_INVALID'),
        );
      refused(data, list.length - 1);
      refused(data, list.length + 1);
      refused(data.subarray(0, -1), list.length);
      refused(new Uint8Array([...data, 0]), list.length);
    }),
  );
});

test('truncated, too large and non-minimal lengths are refused', () => {
  for (const hex of ['80', 'ffffffff', '8000', '818000', 'ffffffff7f', 'ffffff7f00', '808080808001']) {
    assert.throws(
      () => lvSplit(Buffer.from(hex, 'hex'), 1),
      (error) => hasCode(error, 'MESSAGE_INVALID'),
      hex,
    );
  }
});
