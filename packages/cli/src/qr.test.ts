import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'uqr';
import { qrCode } from './qr.ts';

const uri = `palyra:pair?a=192.168.1.5%3A7443&s=${'s'.repeat(22)}&k=${'k'.repeat(43)}&r=${'r'.repeat(43)}`;
const wide = { columns: 120, hasColor: false, showsBoxes: true };

/** The dark modules of the picture, as a scanner sees it on a dark terminal. */
function modulesOf(picture: string): boolean[][] {
  return picture.split('\n').flatMap((line) => {
    const cells = [...line].map((char) => {
      const cell = { ' ': [true, true], '▀': [false, true], '▄': [true, false], '█': [false, false] }[char];
      assert.ok(cell, `an unexpected character: ${char}`);
      return cell;
    });
    return [cells.map((cell) => cell[0]!), cells.map((cell) => cell[1]!)];
  });
}

test('the picture is the QR code, module by module, in a quiet zone of four', () => {
  const modules = modulesOf(qrCode(uri, wide)!);
  const { data, size } = encode(uri, { border: 0, ecc: 'L' });
  for (let row = 0; row < size + 8; row += 1) {
    for (let column = 0; column < size + 8; column += 1) {
      const expected = data[row - 4]?.[column - 4] ?? false;
      assert.equal(modules[row]![column], expected, `row ${row}, column ${column}`);
    }
  }
});

test('with colour, the picture is white on black in every theme', () => {
  for (const line of qrCode(uri, { ...wide, hasColor: true })!.split('\n')) {
    assert.ok(line.startsWith('\u001b[38;5;231;48;5;16m') && line.endsWith('\u001b[0m'), line);
  }
});

test('the picture fits 80 columns, and is left out where it does not fit', () => {
  assert.ok(qrCode(uri, { ...wide, columns: 80 }));
  assert.equal(qrCode(uri, { ...wide, columns: 40 }), undefined);
  assert.equal(qrCode(uri, { ...wide, showsBoxes: false }), undefined);
});
