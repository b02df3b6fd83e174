import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeUlid, parseDeviceId } from './device-id.ts';
import { hasCode } from './errors.ts';

/** Any UTF-16 unit, lone surrogates included. */
const utf16 = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));
const good = '01K8ZQ4YV3M6X9T2B7C5D1E0FG';
const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });

test('a new id is canonical', () => {
  fc.assert(
    fc.property(time, random, (ms, bytes) => {
      const id = makeUlid(new Date(Math.min(ms, 8.64e15)), bytes);
      assert.equal(parseDeviceId(id), id);
    }),
  );
});

test('an id contains all bits of the time and the random bytes', () => {
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  fc.assert(
    fc.property(time, random, (ms, bytes) => {
      let bits = 0n;
      for (const letter of makeUlid(new Date(ms), bytes))
        bits = (bits << 5n) | BigInt(alphabet.indexOf(letter));
      assert.equal(bits >> 80n, BigInt(ms));
      assert.equal(bits & (2n ** 80n - 1n), BigInt(`0x${Buffer.from(bytes).toString('hex')}`));
    }),
  );
});

test('ids sort by time', () => {
  fc.assert(
    fc.property(time, time, random, random, (a, b, one, two) => {
      fc.pre(a < b);
      assert.ok(makeUlid(new Date(a), one) < makeUlid(new Date(b), two));
    }),
  );
});

test('the examples of the ULID specification are accepted', () => {
  for (const id of ['01ARZ3NDEKTSV4RRFFQ69G5FAV', '7ZZZZZZZZZZZZZZZZZZZZZZZZZ', '0'.repeat(26)]) {
    assert.equal(parseDeviceId(id), id);
  }
});

test('text that is not canonical is refused', () => {
  const bad = [
    good.toLowerCase(),
    ...['I', 'L', 'O', 'U', 'i', 'l', 'o', 'u', '-', ' ', '\0', 'É', '０'].map(
      (letter) => good.slice(0, 25) + letter,
    ),
    `8${good.slice(1)}`,
    `Z${good.slice(1)}`,
    good.slice(0, 25),
    `${good}0`,
    `${good}\n`,
    `\n${good}`,
    '',
  ];
  for (const id of bad) {
    assert.throws(
      () => parseDeviceId(id),
      (error) => hasCode(error, 'DEVICE_ID_INVALID'),
      JSON.stringify(id),
    );
  }
});

test('no text causes another error', () => {
  fc.assert(
    fc.property(fc.string({ unit: utf16, maxLength: 60 }), (text) => {
      try {
        assert.equal(parseDeviceId(text), text);
      } catch (error) {
        assert.ok(hasCode(error, 'DEVICE_ID_INVALID'));
      }
    }),
  );
});

test('too few random bytes are a TypeError', () => {
  assert.throws(() => makeUlid(new Date(0), new Uint8Array(9)), TypeError);
});
