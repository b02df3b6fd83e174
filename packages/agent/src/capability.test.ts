import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Capability, runCapability } from './capability.ts';

const run = (capability: unknown, working = new Set<Promise<unknown>>()) =>
  runCapability(
    new Map([['it', capability as Capability]]),
    'it',
    Buffer.from('null'),
    60_000,
    new AbortController().signal,
    working,
  );

for (const [what, capability, message] of [
  [
    'throws at once',
    () => {
      throw new Error('no such file');
    },
    'it failed: no such file',
  ],
  [
    'throws a value that is not an error',
    () => {
      throw null;
    },
    'it failed: null',
  ],
  ['returns nothing', () => undefined, /did not return a Uint8Array/],
  ['promises a text', async () => 'text', /did not return a Uint8Array/],
] as const)
  test(`a capability that ${what} has failed, and is no longer running`, async () => {
    const working = new Set<Promise<unknown>>();
    await assert.rejects(run(capability, working), { code: 'CAPABILITY_FAILED', message });
    assert.equal(working.size, 0);
  });

test('a capability may return its bytes synchronously', async () => {
  assert.equal(String(await run(() => Buffer.from('1'))), '1');
});
