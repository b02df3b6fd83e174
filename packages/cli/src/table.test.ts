import assert from 'node:assert/strict';
import { test } from 'node:test';
import { box, fields, table } from './table.ts';

const titles = ['ID', 'NAME', 'STATE'];
const rows = [
  ['01KAT0MZP8C4T7T1JQ5Z7K3QX9', 'a laptop with a rather long name for a table', 'active'],
  ['01KAT0MZP8C4T7T1JQ5Z7K3QXA', '漢字の名前', 'revoked'],
];

test('columns are aligned, and without a terminal nothing is cut', () => {
  assert.deepEqual(table(titles, rows, { columns: Number.POSITIVE_INFINITY }).split('\n'), [
    'ID                          NAME                                          STATE',
    '01KAT0MZP8C4T7T1JQ5Z7K3QX9  a laptop with a rather long name for a table  active',
    `01KAT0MZP8C4T7T1JQ5Z7K3QXA  漢字の名前${' '.repeat(34)}  revoked`,
  ]);
});

test('in a narrow terminal the important columns stay whole', () => {
  assert.deepEqual(table(titles, rows, { columns: 50, keep: ['ID', 'STATE'] }).split('\n'), [
    'ID                          NAME           STATE',
    '01KAT0MZP8C4T7T1JQ5Z7K3QX9  a laptop wit…  active',
    '01KAT0MZP8C4T7T1JQ5Z7K3QXA  漢字の名前     revoked',
  ]);
});

test('no line is wider than the terminal, however narrow it is', () => {
  for (const columns of [60, 40, 20, 12, 5]) {
    for (const line of table(titles, rows.slice(0, 1), { columns, keep: ['ID'] }).split('\n')) {
      assert.ok(line.length <= columns, `${line.length} of ${columns}: ${line}`);
    }
  }
});

test('without room for all columns, some are left out before the important ones are cut', () => {
  const shown = table(titles, rows, { columns: 34, keep: ['ID', 'STATE'], spare: ['STATE'] });
  assert.deepEqual(shown.split('\n'), [
    'ID                          NAME',
    '01KAT0MZP8C4T7T1JQ5Z7K3QX9  a lap…',
    '01KAT0MZP8C4T7T1JQ5Z7K3QXA  漢字…',
  ]);
  assert.match(table(titles, rows, { columns: 50, keep: ['ID'], spare: ['STATE'] }), /STATE/);
});

test('a name cannot move the cursor or reverse the text', () => {
  const evil = 'x\u001b[31m\u202ey\r\n\u0000';
  const shown = table(['NAME'], [[evil]], { columns: 80 }) + fields([['name', evil]]) + box(evil);
  assert.doesNotMatch(shown, /\p{Cf}|(?!\n)\p{Cc}/u);
  assert.equal(table(['NAME'], [[evil]], { columns: 80 }).split('\n').length, 2);
});

test('fields are aligned, without empty values', () => {
  assert.equal(
    fields([
      ['id', '1'],
      ['reason', undefined],
      ['state', 'active'],
      ['serial', ''],
    ]),
    '  id     1\n  state  active',
  );
});

test('a box is as wide as its text', () => {
  assert.deepEqual(box('123-456789').split('\n'), [
    '  ┌────────────────┐',
    '  │   123-456789   │',
    '  └────────────────┘',
  ]);
});

test('a table can have more rows than a call can have arguments', () => {
  const many = Array.from({ length: 200_000 }, (_, at) => [String(at)]);
  assert.equal(table(['ID'], many, { columns: 80 }).split('\n').length, many.length + 1);
});
