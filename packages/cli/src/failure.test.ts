import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { CliError, type CliErrorCode, exitCodeHelp, exitCodeLine, exitCodes, failureOf } from './failure.ts';

const expected: readonly (readonly [IdentityErrorCode, number])[] = [
  ['MESSAGE_INVALID', 2],
  ['CODE_MALFORMED', 2],
  ['DEVICE_ID_INVALID', 2],
  ['PAIRING_CODE_WRONG', 3],
  ['TOO_MANY_TRIES', 3],
  ['DAEMON_NOT_AUTHENTICATED', 3],
  ['ROOT_MISMATCH', 3],
  ['CERTIFICATE_EXPIRED', 3],
  ['DEVICE_REVOKED', 3],
  ['CLOCK_SKEW', 3],
  ['PAIRING_REJECTED', 3],
  ['PAIRING_NOT_FOUND', 4],
  ['PAIRING_STATE_CONFLICT', 4],
  ['PAIRING_EXPIRED', 4],
  ['NOT_PAIRED', 4],
  ['IDENTITY_KEY_CHANGED', 4],
  ['KEY_IN_USE', 4],
  ['HOME_IN_USE', 4],
  ['RATE_LIMITED', 5],
  ['TOO_MANY_CODES', 5],
  ['SECRET_CORRUPT', 6],
  ['MASTER_KEY_WRONG', 6],
  ['STORE_PERMISSIONS', 6],
  ['STORE_FULL', 6],
  ['AUDIT_BROKEN', 1],
  ['UNREACHABLE', 7],
  ['DEVICE_NOT_CONNECTED', 7],
  ['DEVICE_BUSY', 5],
  ['CAPABILITY_UNKNOWN', 4],
  ['CAPABILITY_TIMEOUT', 5],
  ['CAPABILITY_FAILED', 1],
  ['INTERNAL', 1],
];

for (const [code, exitCode] of expected) {
  test(`${code} ends with exit code ${exitCode}`, () => {
    const failure = failureOf(new IdentityError(code, 'A message.'));
    assert.deepEqual(failure, { exitCode, code, message: 'A message.' });
  });
}

const own: readonly (readonly [CliErrorCode, number])[] = [
  ['USAGE', 2],
  ['NO_TERMINAL', 2],
  ['CANCELLED', 1],
  ['FILE_FAILED', 1],
  ['TIMED_OUT', 5],
  ['INTERRUPTED', 130],
  ['TERMINATED', 143],
];

for (const [code, exitCode] of own) {
  test(`the command's own ${code} ends with exit code ${exitCode}`, () => {
    assert.equal(failureOf(new CliError(code, 'A message.')).exitCode, exitCode);
  });
}

test('the time after which a retry can help is kept', () => {
  const failure = failureOf(new IdentityError('RATE_LIMITED', 'Too fast.', { retryAfterMs: 5000 }));
  assert.equal(failure.retryAfterMs, 5000);
});

test('an error that is not ours is INTERNAL, with its stack for a report', () => {
  const failure = failureOf(new RangeError('off by one'));
  assert.equal(failure.exitCode, 1);
  assert.equal(failure.code, 'INTERNAL');
  assert.match(failure.message, /off by one/);
  assert.match(failure.stack ?? '', /RangeError/);
});

test('every exit code is documented in the help', () => {
  for (const exitCode of Object.values(exitCodes)) {
    for (const help of [exitCodeHelp, exitCodeLine]) {
      assert.match(help, new RegExp(`\\b${exitCode}\\b`), `exit code ${exitCode}`);
    }
  }
});
