import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

test('a test in which a promise is rejected later', async () => {
  void sleep(1).then(async () => {
    await sleep(1);
    throw new Error('nobody handles it');
  });
  await sleep(1000);
});

test('a test in which a timer throws', async () => {
  await sleep(1);
  setTimeout(() => {
    throw new Error('nobody catches it');
  }, 1);
  await sleep(1000);
});
