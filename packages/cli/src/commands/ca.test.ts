import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveHome } from '../home.ts';
import { Output } from '../output.ts';
import { recorded } from '../testing/recorded-run.ts';
import { rotationWords } from './ca.ts';

const { invocation } = recorded();
const cli = {
  invocation,
  output: new Output(invocation, false),
  home: resolveHome('/h', invocation),
  side: 'operator' as const,
  now: Date.now,
};

test('the next step of a root rotation is recommended only when it loses no device', () => {
  const waits = rotationWords(cli, 'prepared', [{ id: '01KAT0MZP8C4T7T1JQ5Z7K3QX9', name: 'laptop' }]);
  assert.match(waits, /would lose these devices.*laptop.*palyra renew\n.*rotate-root status --home \/h$/s);
  assert.doesNotMatch(waits, /activate/);
  assert.match(rotationWords(cli, 'prepared', []), /\nNext: palyra ca rotate-root activate --home \/h$/);
  assert.match(rotationWords(cli, 'activated', []), /\nNext: palyra ca rotate-root finish --home \/h$/);
  assert.doesNotMatch(rotationWords(cli, 'none', []), /Next|ready/);
});

test('a rollback says that the previous root signs again', () => {
  assert.match(
    rotationWords(cli, 'activated', [], 'rollback'),
    /^The rotation is rolled back: the previous root/,
  );
  assert.doesNotMatch(rotationWords(cli, 'activated', []), /new root signs/);
});
