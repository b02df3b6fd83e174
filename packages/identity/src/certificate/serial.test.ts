import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialsIn } from './serial.ts';

const serial = '04af00b1c2d3e4f5061728394a5b6c7d';
const colons = serial.replace(/..(?!$)/g, '$&:');

for (const [program, text] of [
  ['palyra', serial],
  ['openssl x509 -serial', `serial=${serial.toUpperCase()}`],
  ['openssl x509 -text', colons],
  ['Firefox', colons.toUpperCase()],
  ['certutil of Windows', serial.replace(/..(?!$)/g, '$& ')],
  ['certtool', `Serial Number: ${serial}`],
  ['Python, hex()', `0x${serial.replace(/^0/, '')}`],
  ['a program that leaves out leading zeros', serial.slice(1).toUpperCase()],
  ['a program that adds a zero byte', `00${serial}`],
  ['Go and Python, decimal', BigInt(`0x${serial}`).toString()],
] as const) {
  test(`the serial is read as printed by ${program}`, () => {
    assert.ok(serialsIn(text).includes(serial), `${text}: ${serialsIn(text)}`);
  });
}

for (const text of ['', '0', '0x', '-', 'serial=', `${serial}00`, 'zz', '1'.repeat(200), '-5x', '１２']) {
  test(`"${text.slice(0, 40)}" is not a serial`, () => assert.deepEqual(serialsIn(text), []));
}

test('digits alone are read as hex and as decimal', () => {
  assert.deepEqual(serialsIn('10'), ['10'.padStart(32, '0'), 'a'.padStart(32, '0')]);
});
