// Tests for every registry: pairings.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { isDue, type Pairing } from '@palyra/identity/registry';
import { clockToleranceMs } from '@palyra/identity/values';
import fc from 'fast-check';
import { anyPairing } from '../any-pairing.ts';
import { after, pairingOfEveryShape, sampleDevice, waitingPairing } from '../samples.ts';
import { insertDevices, insertPairings } from './contents.ts';
import type { SuiteTest } from './suite-test.ts';
import { rejects } from './suite-test.ts';

export function pairingsTests(name: string, it: SuiteTest): void {
  describe(`${name}: pairings`, () => {
    it('any pairing survives write and read, as a new row and as a replacement', async (registry) => {
      const undo = new Error('undo');
      const property = fc.asyncProperty(anyPairing, anyPairing, async (first, second) => {
        const work = registry.transact(async (tx) => {
          await tx.insertPairing(first);
          assert.deepEqual(await tx.pairing(first.id), first);
          const stored = await tx.replacePairing(first, { ...second, id: first.id });
          assert.deepEqual(stored, { ...second, id: first.id, revision: first.revision + 1 });
          assert.deepEqual(await tx.pairing(first.id), stored);
          throw undo;
        });
        await assert.rejects(work, (error) => {
          if (error !== undo) throw error;
          return true;
        });
      });
      await fc.assert(property, { numRuns: 300 });
    });

    it('a slot names one waiting pairing, and is free again after that changes state', async (registry) => {
      const first = waitingPairing({ slot: '123' });
      await insertPairings(registry, first);
      assert.deepEqual(await registry.waitingPairing('123'), first);
      assert.equal(await registry.waitingPairing('124'), undefined);
      await rejects(insertPairings(registry, waitingPairing({ slot: '123' })), 'PAIRING_STATE_CONFLICT');

      await registry.transact((tx) => tx.replacePairing(first, { ...ended(first), state: 'expired' }));
      assert.equal(await registry.waitingPairing('123'), undefined);
      const second = waitingPairing({ slot: '123' });
      await insertPairings(registry, second);
      assert.deepEqual(await registry.waitingPairing('123'), second);
    });

    it('a refused slot does not abort the transaction', async (registry) => {
      await insertPairings(registry, waitingPairing({ slot: '123' }));
      const other = waitingPairing({ slot: '124' });
      await registry.transact(async (tx) => {
        await rejects(tx.insertPairing(waitingPairing({ slot: '123' })), 'PAIRING_STATE_CONFLICT');
        await tx.insertPairing(other);
      });
      assert.deepEqual(await registry.waitingPairing('124'), other);
    });

    it('a serial names the issued pairing, not the active one', async (registry) => {
      const pairings = pairingOfEveryShape();
      await insertPairings(registry, ...pairings);
      for (const pairing of pairings) {
        if (!('serial' in pairing)) continue;
        const expected = pairing.state === 'issued' ? pairing : undefined;
        assert.deepEqual(await registry.issuedPairing(pairing.serial), expected);
      }
    });

    it('a replacement increments the revision, and a stale revision is PAIRING_STATE_CONFLICT', async (registry) => {
      const seen = waitingPairing({ revision: 4 });
      await insertPairings(registry, seen);
      const next = { ...seen, guessesLeft: 2, guessesTaken: 1 };
      const stored = await registry.transact((tx) => tx.replacePairing(seen, next));
      assert.deepEqual(stored, { ...next, revision: 5 });
      assert.deepEqual(await registry.pairing(seen.id), stored);
      await rejects(
        registry.transact((tx) => tx.replacePairing(seen, { ...seen, guessesLeft: 0 })),
        'PAIRING_STATE_CONFLICT',
      );
      await rejects(
        registry.transact((tx) => tx.replacePairing(waitingPairing(), seen)),
        TypeError,
      );
      const unknown = waitingPairing();
      await rejects(
        registry.transact((tx) => tx.replacePairing(unknown, unknown)),
        'PAIRING_STATE_CONFLICT',
      );
      assert.deepEqual(await registry.pairing(seen.id), stored);
    });

    it('when two transactions use the same guess, only one succeeds', async (registry) => {
      const seen = waitingPairing();
      await insertPairings(registry, seen);
      const take = () => registry.transact((tx) => tx.replacePairing(seen, { ...seen, guessesLeft: 2 }));
      const results = await Promise.allSettled([take(), take()]);
      assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected']);
      assert.equal((await registry.pairing(seen.id))?.revision, 1);
    });

    it('pairings are listed newest first, of all states or of some', async (registry) => {
      const pairings = pairingOfEveryShape().map((pairing, age) => ({ ...pairing, createdAt: after(age) }));
      await insertPairings(registry, ...pairings);
      const newestFirst = pairings.toReversed();
      assert.deepEqual(await registry.pairings({ limit: 100 }), newestFirst);
      assert.deepEqual(await registry.pairings({ limit: 2 }), newestFirst.slice(0, 2));
      assert.deepEqual(
        await registry.pairings({ states: ['waiting', 'expired'], limit: 100 }),
        newestFirst.filter((pairing) => pairing.state === 'waiting' || pairing.state === 'expired'),
      );
      assert.deepEqual(await registry.pairings({ states: [], limit: 100 }), []);
    });

    it('due pairings are those that the library calls due, the earliest end first', async (registry) => {
      const tolerance = clockToleranceMs;
      const madeAndEnd = [
        [0, 100],
        [0, 90],
        [tolerance + 50, 3 * tolerance],
        [tolerance + 60, 2 * tolerance],
        [tolerance + 60, 80],
      ] as const;
      const dated = madeAndEnd.flatMap(([made, end]) =>
        pairingOfEveryShape().map((pairing): Pairing => {
          const createdAt = after(made);
          return 'expiresAt' in pairing
            ? { ...pairing, createdAt, expiresAt: after(end) }
            : { ...pairing, createdAt };
        }),
      );
      await insertPairings(registry, ...dated);
      const endOf = (pairing: Pairing) => ('expiresAt' in pairing ? pairing.expiresAt.getTime() : 0);
      const inOrder = (a: Pairing, b: Pairing) => endOf(a) - endOf(b) || (a.id < b.id ? -1 : 1);
      for (const at of [-tolerance, 0, 49, 50, 59, 60, 79, 80, 90, 99, 100, 2 * tolerance, 4 * tolerance]) {
        const due = dated.filter((pairing) => isDue(pairing, after(at))).sort(inOrder);
        assert.deepEqual(await registry.duePairings(after(at), 100), due, `at ${at}`);
        assert.deepEqual(await registry.duePairings(after(at), 3), due.slice(0, 3), `the first at ${at}`);
      }
    });

    it('counts follow every change', async (registry) => {
      assert.deepEqual(await registry.counts(), { devices: 0, pendingRequests: 0, waitingCodes: 0 });
      await insertDevices(registry, sampleDevice(), sampleDevice());
      await insertPairings(registry, ...pairingOfEveryShape(), waitingPairing());
      assert.deepEqual(await registry.counts(), { devices: 2, pendingRequests: 1, waitingCodes: 2 });
      const [waiting] = await registry.pairings({ states: ['waiting'], limit: 1 });
      assert.ok(waiting);
      await registry.transact((tx) => tx.replacePairing(waiting, { ...ended(waiting), state: 'exhausted' }));
      assert.deepEqual(await registry.counts(), { devices: 2, pendingRequests: 1, waitingCodes: 1 });
    });
  });
}

/** The fields of every state. */
function ended({
  id,
  revision,
  codeKind,
  slot,
  createdAt,
  autoApprovedBy,
  guessesLeft,
  guessesTaken,
}: Pairing) {
  return { id, revision, codeKind, slot, createdAt, autoApprovedBy, guessesLeft, guessesTaken };
}
