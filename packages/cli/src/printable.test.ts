import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printable, printableJson } from './printable.ts';
import { fit, table, wrap } from './table.ts';

const hebrew = 'שרה';
const isolated = `\u2068${hebrew}\u2069`;

test('right-to-left words do not reorder the text beside them', () => {
  assert.equal(printable(`> ${hebrew} (cli)`), `> ${isolated} (cli)`);
  assert.equal(printable(`${hebrew} 12 left`), `${isolated} 12 left`);
  assert.equal(printable(`MacBook של ${hebrew}, 2 left`), `MacBook \u2068של ${hebrew}\u2069, 2 left`);
  assert.equal(printable('laptop'), 'laptop');
});

test('cells of one row stay apart, and a shortened name closes its isolate', () => {
  const row = table(['A', 'B'], [[hebrew, hebrew]], { columns: 80 }).split('\n')[1];
  assert.equal(row, `${isolated}  ${isolated}`);
  assert.equal(fit(`${hebrew}${hebrew}`, 4), `\u2068${hebrew}\u2069…`);
  assert.deepEqual(wrap(`a ${hebrew}`, 10), [`a ${isolated}`]);
});

test('isolates in a stranger’s text are removed, and printable text stays unchanged', () => {
  assert.equal(printable('\u2068abc\u2069'), '\ufffdabc\ufffd');
  assert.equal(printable(`\u2068${hebrew}`), `\ufffd${isolated}`);
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', '1', ' ', 'ש', 'ة', '\u05b0', '\u2068', '\u2069', '(') }),
      (text) => {
        const once = printable(text);
        assert.equal(printable(once), once);
        for (const { 0: inside } of once.matchAll(/\u2068[^\u2069]*\u2069?/g))
          assert.match(inside, /^\u2068[^\u2068]+\u2069$/);
      },
    ),
  );
});

test('long text of combining points and isolates is fast', () => {
  const startedAt = performance.now();
  printable(`\u2068ש${'\u05b0'.repeat(100_000)}`);
  printable(`${'ש \u2068'.repeat(50_000)}`);
  assert.ok(performance.now() - startedAt < 5_000);
});

test('JSON keeps its meaning and shows hidden characters', () => {
  const value = { name: `${hebrew}\u202e\u3164\u{e0041}`, of: 'Zoë 🍳' };
  const json = printableJson(value);
  assert.deepEqual(JSON.parse(json), value);
  assert.doesNotMatch(json, /[\u0590-\u08ff\p{C}\u3164]/u);
  assert.ok(json.includes('Zoë 🍳'));
});
