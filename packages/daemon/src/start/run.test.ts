import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Run } from './run.ts';

test('the steps of a start are undone once each, last in, first out', async () => {
  const run = new Run({});
  const undone: string[] = [];
  run.undo(() => void undone.push('home'));
  run.undo(async () => void undone.push('registry'));
  run.undo(() => void undone.push('listener'));
  await run.unwind();
  await run.unwind();
  assert.deepEqual(undone, ['listener', 'registry', 'home']);
});

test('after a step fails, the others are still undone, and the first failure is thrown', async () => {
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

test('a daemon that stops ends endless calls with a reason', () => {
  const run = new Run({});
  assert.ok(!run.stopping.aborted);
  run.stop();
  assert.equal(run.stopping.reason.code, 'UNREACHABLE');
});
