// One test of the suite.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, type IdentityErrorCode } from '@palyra/identity';
import type { Registry } from '@palyra/identity/registry';

export type Open = (onError: (error: unknown) => void) => Promise<Registry>;

/** @param body removes the expected errors of listeners from `errors`. */
export type SuiteTest = (
  title: string,
  body: (registry: Registry, errors: unknown[]) => Promise<void>,
) => void;

/** Each test has its own empty registry, which is closed afterwards. */
export function suiteTest(open: Open): SuiteTest {
  return (title, body) => {
    test(title, async () => {
      const errors: unknown[] = [];
      const registry = await open((error) => errors.push(error));
      try {
        await body(registry, errors);
      } finally {
        await registry.close();
      }
      assert.deepEqual(errors, []);
    });
  };
}

export async function rejects(
  work: Promise<unknown>,
  expected: IdentityErrorCode | typeof TypeError,
): Promise<void> {
  if (typeof expected !== 'string') return assert.rejects(work, expected);
  await assert.rejects(work, (error) => {
    assert.ok(hasCode(error, expected), `expected ${expected}, got ${error}`);
    return true;
  });
}
