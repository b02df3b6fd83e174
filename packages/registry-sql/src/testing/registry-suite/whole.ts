// Tests for every registry: reading the whole registry in pages, and a snapshot.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { addDevice, pairingOfEveryShape, sampleEvent } from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';

export function wholeTests(name: string, it: SuiteTest): void {
  describe(`${name}: the whole registry`, () => {
    it('pages return each certificate and pairing once, in order', async (registry) => {
      const added = [await addDevice(registry), await addDevice(registry), await addDevice(registry)];
      const shapes = pairingOfEveryShape();
      await registry.transact(async (tx) => {
        for (const pairing of shapes) await tx.insertPairing(pairing);
      });
      const serials = added.map(({ certificate }) => certificate.serial).sort();
      const first = await registry.certificates({ limit: 2 });
      const rest = await registry.certificates({ limit: 2, after: first.at(-1)!.serial });
      assert.deepEqual(
        [...first, ...rest].map(({ serial }) => serial),
        serials,
      );
      const half = await registry.allPairings({ limit: 5 });
      const others = await registry.allPairings({ limit: 100, after: half.at(-1)!.id });
      assert.deepEqual(
        [...half, ...others],
        shapes.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      );
    });

    it('a snapshot stays unchanged while the registry continues to change', async (registry) => {
      await addDevice(registry);
      await registry.transact((tx) => tx.appendAudit(sampleEvent()));
      const now = await registry.snapshot();
      try {
        await addDevice(registry);
        await registry.transact((tx) => tx.appendAudit(sampleEvent()));
        assert.equal((await now.counts()).devices, 1);
        assert.equal((await now.auditHead()).seq, 1);
        assert.equal((await registry.counts()).devices, 2);
      } finally {
        await now.close();
      }
    });
  });
}
