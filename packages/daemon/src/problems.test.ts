import assert from 'node:assert/strict';
import test from 'node:test';
import { IdentityError } from '@palyra/identity';
import { KeyWatch } from './problems.ts';

test('a key that stops signing is reported once, and simultaneous callers share one check', async () => {
  const away = new IdentityError('SIGNER_UNAVAILABLE', 'The token is away.');
  let isAway = false;
  let asked = 0;
  const lost: unknown[] = [];
  const watch = new KeyWatch(
    async () => {
      asked += 1;
      if (isAway) throw away;
    },
    (problem) => lost.push(problem),
  );
  assert.equal(await watch.problem(), undefined);
  isAway = true;
  assert.deepEqual(await Promise.all([watch.problem(), watch.problem()]), [away, away]);
  assert.equal(await watch.problem(), away);
  assert.equal(asked, 3);
  isAway = false;
  assert.equal(await watch.problem(), undefined);
  assert.deepEqual(lost, [away]);
});

test('a token that hangs delays a caller by at most a second, and is reported once the check gives up', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const hanging = Promise.withResolvers<void>();
  const watch = new KeyWatch(
    () => hanging.promise,
    () => {},
  );
  const first = watch.problem();
  t.mock.timers.tick(1_000);
  assert.equal(await first, undefined);
  assert.equal(await watch.problem(), undefined, 'at once: it was waited for');
  const givenUp = new IdentityError('SIGNER_UNAVAILABLE', 'The token did not answer in 10 seconds.');
  hanging.reject(givenUp);
  await watch.problem();
  assert.equal(await watch.problem(), givenUp);
});
