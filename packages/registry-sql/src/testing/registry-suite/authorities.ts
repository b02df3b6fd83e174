// Tests for every registry: authorities.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Ulid } from '@palyra/identity/values';
import { after, sampleAuthority, sampleUlid } from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';

export function authoritiesTests(name: string, it: SuiteTest): void {
  describe(`${name}: authorities`, () => {
    it('authorities are listed, and change state only from their current state', async (registry) => {
      const root = sampleAuthority({ tier: 'root', notBefore: after(-5) });
      const issuing = sampleAuthority();
      await registry.transact(async (tx) => {
        await tx.insertAuthority(issuing);
        await tx.insertAuthority(root);
      });
      assert.deepEqual(await registry.authorities(), [root, issuing]);
      const move = (id: Ulid) => registry.transact((tx) => tx.moveAuthority(id, 'active', 'retired'));
      assert.equal(await move(issuing.id), true);
      assert.deepEqual(await registry.authorities(), [root, { ...issuing, state: 'retired' }]);
      assert.equal(await move(issuing.id), false);
      assert.equal(await move(sampleUlid()), false);
    });
  });
}
