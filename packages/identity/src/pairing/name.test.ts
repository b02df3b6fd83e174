import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../errors.ts';
import { parseVisibleText, printable } from '../visible-text.ts';
import { MAX_NAME_LENGTH, parseDeviceName } from './name.ts';

/** Any UTF-16 unit, lone surrogates included. */
const utf16 = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));
const refused = (error: unknown) => hasCode(error, 'MESSAGE_INVALID');

test('ordinary names are accepted unchanged', () => {
  for (const name of [
    'a',
    "Anna's laptop",
    'Küche 🍳',
    'स्मार्ट फोन',
    'дом',
    '居間のディスプレイ',
    'Nguyễn Thị Hằng',
    'ng\u0075\u031b\u0303',
    'ज़िंदगी',
    'မြွှေ့',
    'ที่บ้าน',
    'שרה',
    'MacBook של שרה',
    'هاتف سارة 2',
    'x'.repeat(64),
  ]) {
    assert.equal(parseDeviceName(name), name);
  }
});

test('names that move the cursor, reverse text or hide characters are refused', () => {
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

test('an invisible or misleading name is refused with the character and the reason', () => {
  for (const [name, message] of [
    ['\u3164', 'U+3164: it is invisible'],
    ['a\u115f', 'U+115F: it is invisible'],
    ['\u1160', 'U+1160: it is invisible'],
    ['\uffa0b', 'U+FFA0: it is invisible'],
    ['lap\u034ftop', 'U+034F: it is invisible'],
    ['\ufe0f', 'U+FE0F: it is invisible'],
    ['a\u{e0100}', 'U+E0100: it is invisible'],
    ['\u180b', 'U+180B: it is invisible'],
    ['x\u{e0041}', 'U+E0041: it is invisible'],
    ['\u2800', 'U+2800: it looks empty'],
    ['\u{1d159}', 'U+1D159: it looks empty'],
    ['\u{13441}', 'U+13441: it looks empty'],
    ['a\u202eb', 'U+202E: it changes the direction of text'],
    ['\u061ca', 'U+061C: it changes the direction of text'],
    ['a\u00a0b', 'U+00A0: it is a special space'],
    ['a\u2003b', 'U+2003: it is a special space'],
    ['a\tb', 'U+0009: it is a control character'],
    ['\ue000', 'U+E000: it has no agreed meaning'],
    ['\u0301a', 'U+0301: it is a mark without a letter'],
    ['a \u0301', 'U+0301: it is a mark without a letter'],
    ['e\u0301\u0301', 'U+0301: it is one mark too many'],
    [`Z${'\u0301\u0302\u0303\u0304\u0306'}`, 'U+0306: it is one mark too many'],
    [`Z${'\u0301\u0302\u0903\u0303\u0304\u0306'}`, 'U+0306: it is one mark too many'],
    [`Z${'\u0335\u0489'.repeat(30)}`, 'it is one mark too many'],
  ] as const) {
    for (const [label, parse] of [
      ['A name', () => parseDeviceName(name)],
      ['A platform', () => parseDeviceName(name, 'A platform')],
    ] as const) {
      assert.throws(parse, (error: Error) => {
        assert.ok(refused(error));
        assert.ok(error.message.startsWith(`${label} cannot contain U+`), error.message);
        assert.ok(error.message.replace(/ at position [0-9]+:/, ':').includes(message), error.message);
        return true;
      });
    }
  }
});

test('the error gives the position of a refused character as a person counts it', () => {
  for (const [name, at] of [
    ['ab\u202ecd', 'U+202E at position 3:'],
    ['\u3164', 'U+3164 at position 1:'],
    // A flag and a letter of three code points are one character each.
    ['🇨🇭क्ष\u200b', 'U+200B at position 3:'],
    ['a\u00a0b', 'U+00A0 at position 2:'],
    ['kitchen e\u0301\u0301', 'U+0301 at position 9:'],
    ['a \u0301', 'U+0301 at position 2:'],
  ] as const)
    assert.throws(
      () => parseDeviceName(name),
      (error: Error) => refused(error) && error.message.startsWith(`A name cannot contain ${at}`),
      name,
    );
});

test('the length of a name is counted in visible characters', () => {
  for (const character of ['🍳', '🇨🇭', 'क्षि', 'ng\u0075\u031b\u0303'.slice(2), '👍🏽']) {
    const name = character.repeat(MAX_NAME_LENGTH);
    assert.equal(parseDeviceName(name), name);
    assert.throws(() => parseDeviceName(name + character), refused, character);
  }
  // A character of a thousand parts is refused.
  assert.throws(() => parseDeviceName(`क${'ा'.repeat(1000)}`), refused);
  assert.throws(() => parseVisibleText('A reason', `क${'ा'.repeat(1000)}`, 200), refused);
});

test('every default-ignorable code point of Unicode is refused in names and in other text', () => {
  let count = 0;
  for (let code = 0; code <= 0x10ffff; code += 1) {
    const character = String.fromCodePoint(code);
    if (!/\p{Default_Ignorable_Code_Point}/u.test(character)) continue;
    count += 1;
    assert.throws(() => parseDeviceName(`a${character}`), refused, code.toString(16));
    assert.throws(() => parseVisibleText('A reason', `a${character}`, 200), refused, code.toString(16));
    assert.equal(printable(`a${character}`), 'a\ufffd');
  }
  assert.ok(count > 4000);
});

test('a reason may be empty and may contain any spaces, and its length is limited', () => {
  for (const reason of ['', ' lost  on the train ', 'נגנב']) {
    assert.equal(parseVisibleText('A reason', reason, 200), reason);
  }
  assert.throws(() => parseVisibleText('A reason', 'x'.repeat(201), 200), refused);
});

test('shown text loses exactly the characters that a name may not contain', () => {
  assert.equal(printable('a\u202eb\u3164\u2800c\n'), 'a\ufffdb\ufffd\ufffdc\ufffd');
  assert.equal(printable(`Z${'\u0301\u0302'.repeat(30)}algo`), 'Z\ufffdalgo');
  assert.equal(printable('ज़िंदगी שרה'), 'ज़िंदगी שרה');
});

test('names that are empty, too long or padded with spaces are refused', () => {
  for (const name of ['', ' ', ' a', 'a ', '\u00a0a', 'a\u3000', 'a  b', 'x'.repeat(MAX_NAME_LENGTH + 1)]) {
    assert.throws(() => parseDeviceName(name), refused, JSON.stringify(name));
  }
});

test('no text causes another error, and an accepted name fits on one line', () => {
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
