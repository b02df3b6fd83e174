import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesToHex } from '@noble/curves/utils.js';
import fc from 'fast-check';
import { nodeCrypto } from '../crypto/node.ts';
import { formatEndpoint, parseEndpoint } from '../endpoint.ts';
import { hasCode } from '../errors.ts';
import {
  formatQrUri,
  formatTypedCode,
  makeQrSecret,
  makeTypedSecret,
  parsePairingCode,
  slotKey,
} from './code.ts';

/** Any UTF-16 unit, lone surrogates included. */
const utf16 = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));
const digits = (count: number) =>
  fc.integer({ min: 0, max: 10 ** count - 1 }).map((n) => String(n).padStart(count, '0'));
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const address = fc
  .tuple(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.integer({ min: 1, max: 65_535 }))
  .map(([host, port]) => formatEndpoint(parseEndpoint(formatEndpoint({ host, port }))));
const text = (data: Uint8Array) => new TextDecoder().decode(data);
const malformed = (error: unknown) => hasCode(error, 'CODE_MALFORMED');

test('a shown code can be typed', () => {
  fc.assert(
    fc.property(digits(3), digits(6), (slot, pin) => {
      const code = parsePairingCode(formatTypedCode(slot, new TextEncoder().encode(pin)));
      assert.deepEqual([code.kind, text(code.slot), text(code.secret)], ['typed', slot, pin]);
      assert.equal(slotKey(code.slot), slot);
    }),
  );
});

test('dashes and spaces are ignored anywhere', () => {
  const noise = fc.array(fc.constantFrom('', '', '-', ' ', '\t', '\u00a0'), { minLength: 10, maxLength: 10 });
  fc.assert(
    fc.property(digits(9), noise, (nine, between) => {
      const typed = between.map((each, at) => each + (nine[at] ?? '')).join('');
      const code = parsePairingCode(typed);
      assert.equal(text(code.slot) + text(code.secret), nine);
    }),
  );
});

test('a code is accepted with the changes that messengers and keyboards make', () => {
  const nine = '123456789';
  for (const pasted of [
    // Dashes: hyphens, figure, en, em, bar, minus, small, full-width, katakana.
    ...'\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\u02d7\u2043\ufe58\ufe63\uff0d\u30fc\uff70\u301c',
  ]
    .map((dash) => `123${dash}456789`)
    .concat([
      '１２３－４５６７８９',
      '\ufeff123-456789\u200b',
      '1\u200d2\u20603-4\u00ad56\u200e789\u202c',
      '\u2068123-456789\u2069',
      '123\u3000456\u2009789',
    ])) {
    const code = parsePairingCode(pasted);
    assert.equal(text(code.slot) + text(code.secret), nine, JSON.stringify(pasted));
  }
  const uri = formatQrUri(
    '[fe80::1]:7443',
    'ab'.repeat(16),
    new Uint8Array(32).fill(0xfb),
    new Uint8Array(32),
  );
  const read = parsePairingCode(uri);
  for (const pasted of [
    uri.replace(/.{20}/g, '$&\u200b'),
    `\ufeff${uri}\u2069`,
    uri.replaceAll('-', '\u2011'),
    uri.replace('palyra:', 'ｐａｌｙｒａ：'),
  ])
    assert.deepEqual(parsePairingCode(pasted), read, pasted);
  // Digits of other scripts, and characters that only look like digits, are refused.
  for (const other of ['١٢٣-٤٥٦٧٨٩', '①②③456789', '123_456789', 'l23-456789'])
    assert.throws(() => parsePairingCode(other), malformed, other);
});

test('a formatted QR code is read back', () => {
  fc.assert(
    fc.property(address, bytes(16), bytes(32), bytes(32), (where, slot, secret, root) => {
      const uri = formatQrUri(where, bytesToHex(slot), secret, root);
      assert.deepEqual(parsePairingCode(uri), {
        kind: 'qr',
        address: where,
        slot,
        secret,
        rootFingerprint: root,
      });
      assert.equal(slotKey(slot), bytesToHex(slot));
    }),
  );
});

test('every invalid text is CODE_MALFORMED', () => {
  const uri = formatQrUri('localhost:7443', '00'.repeat(16), new Uint8Array(32), new Uint8Array(32));
  const anything = fc.string({ unit: utf16, maxLength: 600 });
  const almost = fc
    .tuple(fc.nat({ max: uri.length }), fc.nat({ max: 5 }), fc.string({ maxLength: 5 }))
    .map(([at, gone, added]) => uri.slice(0, at) + added + uri.slice(at + gone));
  const prefixed = anything.map((each) => `palyra:pair?${each}`);
  fc.assert(
    fc.property(fc.oneof(anything, almost, prefixed), (input) => {
      try {
        const code = parsePairingCode(input);
        assert.ok(code.slot.length === 3 || code.slot.length === 16);
      } catch (error) {
        assert.ok(malformed(error), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('text that is not a code is refused', () => {
  const uri = formatQrUri('localhost:7443', '00'.repeat(16), new Uint8Array(32), new Uint8Array(32));
  for (const input of [
    '',
    '123',
    '12345678',
    '1234567890',
    '123-45678a',
    '123_456789',
    '+23-456789',
    'palyra:',
    'palyra:pair',
    'https://example.com/',
    uri.replace('palyra:pair', 'palyra:unpair'),
    uri.replace('a=localhost%3A7443', 'a=localhost'),
    uri.replace('a=localhost%3A7443', 'a='),
    uri.replace('a=localhost%3A7443&', ''),
    uri.replace('a=localhost%3A7443', 'a=localhost%3A99999'),
    uri.replace('a=localhost%3A7443', 'a=user%40host%3A1'),
    uri.replace(/s=[^&]+/, 's='),
    uri.replace(/k=[^&]+/, 'k=AAAA'),
    uri.replace(/r=[^&]+/, `r=${'!'.repeat(43)}`),
    // Only one spelling: no other order, no repeated or unknown field, and no other form of a value.
    uri.replace('palyra:', 'PALYRA:'),
    uri.replace('palyra:pair', 'palyra://pair'),
    uri.replace('palyra:pair', 'palyra:PAIR'),
    uri.replace(/(a=[^&]+)&(s=[^&]+)/, '$2&$1'),
    uri.replace(/(k=[^&]+)&(r=[^&]+)/, '$2&$1'),
    uri.replace(/&(s=[^&]+)/, '&$1&$1'),
    `${uri}&a=localhost%3A7443`,
    `${uri}&x=1`,
    `${uri}&`,
    `${uri}#`,
    uri.replace('%3A', ':'),
    uri.replace('%3A', '%3a'),
    uri.replace('localhost', '%6Cocalhost'),
    uri.replace('localhost', '%FF'),
    uri.replace(/&s=A/, '&s=%41'),
    uri.replace(/(s=[^&]+)A&/, '$1B&'),
    uri.replace(/(k=[^&]+)A&/, '$1B&'),
    uri.replace(/A$/, 'B'),
    `${uri}=`,
    uri.replace('?', '?\n'),
    uri + 'x'.repeat(512),
    ' '.repeat(600) + uri + 'x'.repeat(512),
  ]) {
    assert.throws(() => parsePairingCode(input), malformed, input);
  }
});

test('a slot with an impossible length or bytes has no key', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (slot) => {
      const key = slotKey(slot);
      if (slot.length === 16) assert.equal(key, bytesToHex(slot));
      else if (slot.length === 3 && slot.every((byte) => byte >= 0x30 && byte <= 0x39))
        assert.equal(key, text(slot));
      else assert.equal(key, undefined);
    }),
  );
});

test('a typed slot and a QR slot never share a key', () => {
  fc.assert(
    fc.property(digits(3), bytes(16), (typed, qr) => {
      assert.notEqual(slotKey(new TextEncoder().encode(typed)), slotKey(qr));
    }),
  );
});

test('a new code keeps its leading zeros and uses the whole range', () => {
  const drawn: number[] = [];
  const low = {
    ...nodeCrypto,
    randomInt: (below: number) => {
      drawn.push(below);
      return 7;
    },
  };
  const { slot, secret } = makeTypedSecret(low);
  assert.deepEqual([slot, text(secret)], ['007', '000007']);
  assert.deepEqual(drawn, [1000, 1_000_000]);
  const qr = makeQrSecret(nodeCrypto);
  assert.match(qr.slot, /^[0-9a-f]{32}$/);
  assert.equal(qr.secret.length, 32);
});
