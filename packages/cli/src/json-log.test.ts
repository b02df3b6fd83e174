import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../tests/testing/until.ts';
import { jsonLog } from './json-log.ts';
import { Output } from './output.ts';
import { recorded } from './testing/recorded-run.ts';

test('a line is one line of JSON in plain characters, in its order, also with --json', async () => {
  const { invocation, stdout, stderr } = recorded();
  const write = jsonLog(new Output(invocation, true));
  write({ level: 'warn', message: 'one\n\u202etwo', fields: { name: '\u001b[31mred\u009b', count: 2 } });
  write({ level: 'debug', message: 'next', fields: {} });
  await until('the lines', async () => stderr().split('\n').length === 3);
  assert.equal(stdout(), '');
  assert.doesNotMatch(stderr(), /[^\x20-\x7e\n]/);
  const [first, second] = stderr()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const { time, ...rest } = first;
  assert.ok(!Number.isNaN(Date.parse(time)));
  assert.deepEqual(rest, { level: 'warn', message: 'one\n\u202etwo', name: '\u001b[31mred\u009b', count: 2 });
  assert.equal(second.message, 'next');
});
