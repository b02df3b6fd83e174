import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Wakeup } from './wakeup.ts';

test('a sleep lasts until it is woken', async () => {
  const wakeup = new Wakeup();
  let isAwake = false;
  const sleep = wakeup.sleep().then(() => {
    isAwake = true;
  });
  await turn();
  assert.equal(isAwake, false);
  wakeup.wake();
  await sleep;
});

test('a wake-up before the sleep is not lost, and counts once', async () => {
  const wakeup = new Wakeup();
  wakeup.wake();
  wakeup.wake();
  await wakeup.sleep();
  let isAwake = false;
  void wakeup.sleep().then(() => {
    isAwake = true;
  });
  await turn();
  assert.equal(isAwake, false);
  wakeup.wake();
  await turn();
  assert.equal(isAwake, true);
});

test('a sleep ends by itself after its maximum time', async () => {
  await new Wakeup().sleep(1);
});
