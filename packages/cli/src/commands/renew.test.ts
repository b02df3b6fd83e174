import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from '@palyra/identity';
import { twiceIfUnreachable } from './renew.ts';

/** Fails with these codes, and then answers with the number of its calls. */
function asked(codes: readonly ('UNREACHABLE' | 'DEVICE_REVOKED')[]) {
  const left = [...codes];
  let count = 0;
  return async () => {
    count += 1;
    const code = left.shift();
    if (code) throw new IdentityError(code, 'no');
    return count;
  };
}

test('a daemon that is not reached is asked once more, and after another error not', async () => {
  assert.equal(await twiceIfUnreachable(asked([])), 1);
  assert.equal(await twiceIfUnreachable(asked(['UNREACHABLE'])), 2);
  await assert.rejects(twiceIfUnreachable(asked(['UNREACHABLE', 'UNREACHABLE'])), { code: 'UNREACHABLE' });
  await assert.rejects(twiceIfUnreachable(asked(['DEVICE_REVOKED'])), { code: 'DEVICE_REVOKED' });
});
