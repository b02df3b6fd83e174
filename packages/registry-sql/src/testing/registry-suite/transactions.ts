// Tests for every registry: transactions.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { type RegistryEvent, type RegistryTransaction, verifyAuditChain } from '@palyra/identity/registry';
import {
  addDevice,
  sampleAuthority,
  sampleCertificate,
  sampleDevice,
  sampleEvent,
  sampleUlid,
  waitingPairing,
} from '../samples.ts';
import { sha256Hex } from '../sha256.ts';
import { doEverything, everything, insertDevices, insertPairings } from './contents.ts';
import type { SuiteTest } from './suite-test.ts';
import { rejects } from './suite-test.ts';

export function transactionsTests(name: string, it: SuiteTest): void {
  describe(`${name}: transactions`, () => {
    it('a change returns the result of its work, and a setting can be overwritten', async (registry) => {
      assert.equal(await registry.setting('color'), undefined);
      const result = await registry.transact(async (tx) => {
        await tx.putSetting('color', 'green');
        await tx.putSetting('colour', 'red');
        return 7;
      });
      assert.equal(result, 7);
      await registry.transact((tx) => tx.putSetting('color', 'blue'));
      assert.equal(await registry.setting('color'), 'blue');
      assert.equal(await registry.setting('colour'), 'red');
    });

    it('a change that throws leaves nothing behind, and its error is passed on', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const waiting = waitingPairing();
      await insertPairings(registry, waiting);
      await registry.transact((tx) => tx.appendAudit(sampleEvent()));
      const before = await everything(registry);
      const told: RegistryEvent[] = [];
      registry.subscribe((event) => told.push(event));

      const failure = new Error('changed my mind');
      const work = registry.transact(async (tx) => {
        await doEverything(tx, { device, certificate, waiting });
        throw failure;
      });
      await assert.rejects(work, (error) => error === failure);
      assert.deepEqual(await everything(registry), before);
      assert.deepEqual(told, []);
    });

    it('a change sees its own writes', async (registry) => {
      await registry.transact(async (tx) => {
        const [device, authority, waiting] = [sampleDevice(), sampleAuthority(), waitingPairing()];
        const certificate = sampleCertificate({ device: device.id, issuer: authority.id });
        await tx.insertAuthority(authority);
        await tx.insertDevice(device);
        await tx.insertCertificate(certificate);
        await tx.insertPairing(waiting);
        await tx.appendAudit(sampleEvent());
        assert.deepEqual(await tx.device(device.id), device);
        assert.equal((await tx.standing(certificate.fingerprint))?.deviceState, 'active');
        assert.deepEqual(await tx.waitingPairing(waiting.slot), waiting);
        assert.deepEqual(await tx.counts(), { devices: 1, pendingRequests: 0, waitingCodes: 1 });
        assert.equal((await tx.auditHead()).seq, 1);
      });
    });

    it('other readers do not see uncommitted changes', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const waiting = waitingPairing();
      await insertPairings(registry, waiting);
      const before = await everything(registry);

      const started = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const work = registry.transact(async (tx) => {
        await doEverything(tx, { device, certificate, waiting });
        started.resolve();
        await goOn.promise;
        throw new Error('never mind');
      });
      await started.promise;
      const seen = everything(registry);
      const standing = registry.standing(certificate.fingerprint);
      // Time for a reader that does not wait for the commit.
      await new Promise((resolve) => setImmediate(resolve));
      goOn.resolve();
      await assert.rejects(work, /never mind/);
      assert.equal((await standing)?.deviceState, 'active');
      assert.deepEqual(await seen, before);
    });

    it('the count of changes grows with the commit, before listeners are called', async (registry) => {
      const seen: number[] = [];
      registry.subscribe(() => seen.push(registry.changes));
      const before = registry.changes;
      await registry.transact(async (tx) => {
        await tx.putSetting('name', 'x');
        tx.emit({ type: 'device_revoked', deviceId: sampleUlid(), reason: '' });
        seen.push(registry.changes);
      });
      const after = registry.changes;
      assert.notEqual(after, before);
      assert.deepEqual(seen, [before, after]);
      await registry.setting('name');
      assert.equal(registry.changes, after);
    });

    it('changes happen one after the other', async (registry) => {
      const add = () =>
        registry.transact(async (tx) => {
          const sum = Number((await tx.setting('sum')) ?? 0);
          await tx.putSetting('sum', String(sum + 1));
        });
      await Promise.all(Array.from({ length: 50 }, add));
      assert.equal(await registry.setting('sum'), '50');
    });

    it('of simultaneous changes, a failed one leaves nothing behind, and the others succeed', async (registry) => {
      const told: RegistryEvent[] = [];
      registry.subscribe((event) => told.push(event));
      const change = (number: number) =>
        registry.transact(async (tx) => {
          await tx.putSetting(`made ${number}`, 'x');
          await tx.appendAudit(sampleEvent());
          tx.emit({ type: 'device_revoked', deviceId: sampleUlid(), reason: '' });
          if (number % 3 === 1) throw new Error(`not ${number}`);
          return number;
        });
      const outcomes = await Promise.allSettled(Array.from({ length: 9 }, (_, number) => change(number)));
      for (const [number, outcome] of outcomes.entries()) {
        const isFailed = number % 3 === 1;
        assert.equal(outcome.status, isFailed ? 'rejected' : 'fulfilled');
        assert.equal(await registry.setting(`made ${number}`), isFailed ? undefined : 'x');
      }
      assert.equal(told.length, 6);
      const head = await registry.auditHead();
      assert.equal(head.seq, 6);
      assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
    });

    it('readers can run between changes', async (registry) => {
      const order: string[] = [];
      const change = async (title: string) => {
        await registry.transact((tx) => tx.putSetting('title', title));
        order.push(title);
      };
      // More changes than one commit combines.
      const changes = Array.from({ length: 600 }, (_, number) => change(`${number}`));
      await changes[0];
      const read = registry.setting('title').then((title) => order.push(`read ${title}`));
      await Promise.all([...changes, read]);
      assert.notEqual(order.at(-1), 'read 599');
    });

    it('a failed statement rolls the whole change back, even if the work ignores the error', async (registry) => {
      const device = sampleDevice();
      await insertDevices(registry, device);
      const work = registry.transact(async (tx) => {
        await tx.putSetting('before', 'x');
        await tx.insertDevice(device).catch(() => undefined);
        // Later statements are refused, because they could already be outside the transaction.
        await rejects(tx.putSetting('after', 'x'), 'STORE_FAILED');
        await rejects(tx.counts(), 'STORE_FAILED');
      });
      await rejects(work, 'STORE_FAILED');
      assert.equal(await registry.setting('before'), undefined);
      assert.equal(await registry.setting('after'), undefined);
      assert.equal((await registry.counts()).devices, 1);
    });

    it('a finished transaction cannot be used', async (registry) => {
      const kept: RegistryTransaction[] = [];
      await registry.transact(async (tx) => void kept.push(tx));
      const failed = registry.transact(async (tx) => {
        kept.push(tx);
        throw new Error('no');
      });
      await assert.rejects(failed, /no/);
      assert.equal(kept.length, 2);
      for (const tx of kept) {
        await assert.rejects(tx.putSetting('late', 'x'), TypeError);
        await assert.rejects(tx.setting('late'), TypeError);
      }
      assert.equal(await registry.setting('late'), undefined);
    });
  });
}
