import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Run } from './run.ts';

test('what a start has made is undone last in, first out, and each step once', async () => {
  const run = new Run({});
  const undone: string[] = [];
  run.undo(() => void undone.push('home'));
  run.undo(async () => void undone.push('registry'));
  run.undo(() => void undone.push('listener'));
  await run.unwind();
  await run.unwind();
  assert.deepEqual(undone, ['listener', 'registry', 'home']);
});

test('a step that fails keeps no other from being undone, and the first failure is told', async () => {
  const run = new Run({});
  let isReleased = false;
  const first = new Error('the listener');
  run.undo(() => {
    isReleased = true;
  });
  run.undo(() => Promise.reject(new Error('the registry')));
  run.undo(() => {
    throw first;
  });
  await assert.rejects(run.unwind(), first);
  assert.ok(isReleased);
});

test('a daemon that stops says so to calls that would go on for ever', () => {
  const run = new Run({});
  assert.ok(!run.stopping.aborted);
  run.stop();
  assert.equal(run.stopping.reason.code, 'UNREACHABLE');
});
