import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { hasCode } from '@palyra/identity';
import type { Cryptoki } from './cryptoki.ts';
import { CryptokiModule } from './module.ts';

/** Nothing of it is called here. */
const idle = () => new CryptokiModule({ C_Initialize() {} } as unknown as Cryptoki);

test('one call at a time, in their order, and a failure ends only its own', async () => {
  const module = idle();
  const log: string[] = [];
  const first = Promise.withResolvers<void>();
  const one = module.run(async () => {
    log.push('one begins');
    await first.promise;
    log.push('one ends');
    throw new Error('of one');
  });
  const two = module.run(async () => log.push('two'));
  first.resolve();
  await assert.rejects(one, /of one/);
  await two;
  assert.deepEqual(log, ['one begins', 'one ends', 'two']);
});

test('a token that does not answer holds nobody for longer than ten seconds', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const module = idle();
  const answer = Promise.withResolvers<void>();
  const hanging = module.run(() => answer.promise);
  let hasRun = false;
  const behind = module.run(async () => {
    hasRun = true;
  });
  mock.timers.tick(10_000);
  for (const each of [hanging, behind])
    await assert.rejects(each, (error) => hasCode(error, 'SIGNER_UNAVAILABLE'));
  // It comes back: who has gone is not served, who comes is.
  answer.resolve();
  assert.equal(await module.run(async () => 'served'), 'served');
  assert.equal(hasRun, false);
});

test('callers beyond a thousand are sent away', async () => {
  const module = idle();
  const answer = Promise.withResolvers<void>();
  const waiting = Array.from({ length: 1000 }, () => module.run(() => answer.promise));
  assert.throws(
    () => module.run(() => answer.promise),
    (error) => hasCode(error, 'TOO_MANY_REQUESTS') && error.retryAfterMs === 1_000,
  );
  answer.resolve();
  await Promise.all(waiting);
  await module.run(async () => {});
});
