import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors.ts';
import { MAX_NAME_LENGTH, parseDeviceKind, parseDeviceName } from './name.ts';

/** Any UTF-16 unit, lone surrogates included. */
const utf16 = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));
const refused = (error: unknown) => hasCode(error, 'MESSAGE_INVALID');

test('names that people give are taken as they are', () => {
  for (const name of [
    'a',
    "Anna's laptop",
    'Küche 🍳',
    'स्मार्ट फोन',
    'дом',
    '居間のディスプレイ',
    'x'.repeat(64),
  ]) {
    assert.equal(parseDeviceName(name), name);
  }
});

test('names that would move a cursor, turn text around or hide are refused', () => {
  const hidden = [
    ...Array.from({ length: 32 }, (_, code) => code),
    ...Array.from({ length: 33 }, (_, code) => 0x7f + code),
    0xad,
    0x061c,
    0x200b,
    0x200c,
    0x200d,
    0x200e,
    0x200f,
    0x2028,
    0x2029,
    0x202a,
    0x202b,
    0x202c,
    0x202d,
    0x202e,
    0x2060,
    0x2066,
    0x2067,
    0x2068,
    0x2069,
    0xfeff,
    0xfff9,
    0xe0001,
    0xe0041,
    0xd800,
    0xdfff,
    0xffff,
    0x378,
  ];
  for (const code of hidden) {
    const name = `a${String.fromCodePoint(code)}b`;
    assert.throws(() => parseDeviceName(name), refused, code.toString(16));
  }
});

test('names that are empty, too long or padded with spaces are refused', () => {
  for (const name of ['', ' ', ' a', 'a ', '\u00a0a', 'a\u3000', 'x'.repeat(MAX_NAME_LENGTH + 1)]) {
    assert.throws(() => parseDeviceName(name), refused, JSON.stringify(name));
  }
});

test('no text makes it throw anything else, and what is taken fits one line', () => {
  fc.assert(
    fc.property(fc.string({ unit: utf16, maxLength: 80 }), (text) => {
      try {
        const name = parseDeviceName(text);
        assert.equal(name, text);
        assert.doesNotMatch(name, /[\r\n\u0085\u2028\u2029]/);
      } catch (error) {
        assert.ok(refused(error));
      }
    }),
  );
});

test('the four kinds are taken, and nothing else', () => {
  for (const kind of ['cli', 'desktop', 'browser', 'node']) assert.equal(parseDeviceKind(kind), kind);
  for (const kind of ['', 'CLI', 'cli ', 'toaster', '__proto__', 'constructor']) {
    assert.throws(() => parseDeviceKind(kind), refused);
  }
});
