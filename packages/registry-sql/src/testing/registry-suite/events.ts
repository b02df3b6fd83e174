// Tests for every registry: events and closing.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { RegistryEvent } from '@palyra/identity/registry';
import { sampleUlid } from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';
import { rejects } from './suite-test.ts';

export function eventsTests(name: string, it: SuiteTest): void {
  describe(`${name}: events and closing`, () => {
    const revoked = (deviceId = sampleUlid()): RegistryEvent => ({
      type: 'device_revoked',
      deviceId,
      reason: '',
    });

    it('events are delivered after the commit, in the order of changes and within each change', async (registry) => {
      const events = [revoked(), revoked(), revoked()] as const;
      const told: RegistryEvent[] = [];
      const settings: Promise<string | undefined>[] = [];
      registry.subscribe((event) => {
        told.push(event);
        settings.push(registry.setting('done'));
      });
      const first = registry.transact(async (tx) => {
        tx.emit(events[0]);
        tx.emit(events[1]);
        await tx.putSetting('done', 'yes');
        assert.deepEqual(told, []);
      });
      const second = registry.transact(async (tx) => tx.emit(events[2]));
      await first;
      assert.deepEqual(told.slice(0, 2), events.slice(0, 2));
      await second;
      assert.deepEqual(told, events);
      assert.deepEqual(await Promise.all(settings), ['yes', 'yes', 'yes']);
    });

    it('a failing listener does not affect others, and its error is reported', async (registry, errors) => {
      const told: RegistryEvent[] = [];
      for (const listen of [registry.enforce, registry.subscribe]) {
        listen.call(registry, () => {
          throw new Error('careless');
        });
        listen.call(registry, async () => {
          throw new Error('careless later');
        });
      }
      registry.subscribe((event) => told.push(event));
      const event = revoked();
      await registry.transact(async (tx) => {
        await tx.putSetting('kept', 'yes');
        tx.emit(event);
      });
      assert.deepEqual(told, [event]);
      assert.equal(await registry.setting('kept'), 'yes');
      const messages = errors.splice(0).map((error) => (error as Error).message);
      assert.deepEqual(messages.sort(), ['careless', 'careless', 'careless later', 'careless later']);
    });

    it('listeners that enforce a change are called before observers, in any order of subscription and for any number of changes', async (registry) => {
      const told: string[] = [];
      registry.subscribe(() => told.push('looked on'));
      registry.enforce(() => told.push('enforced'));
      registry.subscribe(() => told.push('looked on'));
      // Changes that queue up are committed together.
      await Promise.all([1, 2].map(() => registry.transact(async (tx) => tx.emit(revoked()))));
      assert.equal(told.length, 6);
      const order = told.join(' ');
      assert.ok(
        order === 'enforced enforced looked on looked on looked on looked on' ||
          order === 'enforced looked on looked on enforced looked on looked on',
        order,
      );
    });

    it('ending a subscription does not affect others', async (registry) => {
      const told: string[] = [];
      const endFirst = registry.subscribe(() => told.push('first'));
      registry.subscribe(() => told.push('second'));
      await registry.transact(async (tx) => tx.emit(revoked()));
      endFirst();
      endFirst();
      await registry.transact(async (tx) => tx.emit(revoked()));
      assert.deepEqual(told, ['first', 'second', 'second']);
    });

    it('closing lets earlier changes finish, and refuses later ones', async (registry) => {
      const told: RegistryEvent[] = [];
      registry.subscribe((event) => told.push(event));
      const changes = [1, 2, 3].map(() => registry.transact(async (tx) => tx.emit(revoked())));
      await Promise.all([registry.close(), registry.close()]);
      assert.equal(told.length, 3);
      await Promise.all(changes);
      await rejects(registry.setting('x'), 'STORE_FAILED');
      await rejects(
        registry.transact(async () => undefined),
        'STORE_FAILED',
      );
      await registry.close();
    });
  });
}
