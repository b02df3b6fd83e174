// Checks that a call is refused with a stable code, wherever the error was made.

import assert from 'node:assert/strict';
import type { IdentityError, IdentityErrorCode } from '@palyra/identity';
import { fromConnectError } from '@palyra/rpc';

/** @returns the error, for further checks. */
export async function expectCode(call: Promise<unknown>, code: IdentityErrorCode): Promise<IdentityError> {
  const outcome = await call.then(
    () => 'it succeeded',
    (error: unknown) => fromConnectError(error),
  );
  if (typeof outcome === 'string') assert.fail(`expected ${code}, but ${outcome}`);
  assert.equal(outcome.code, code, `expected ${code}, not ${outcome.code}: ${outcome.message}`);
  return outcome;
}
