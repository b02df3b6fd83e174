// Several registries on one database, as in a fleet.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type RegistryEvent, verifyAuditChain } from '@palyra/identity/registry';
import { until } from '../../../../tests/testing/until.ts';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import {
  addDevice,
  revokedDevice,
  sampleDevice,
  sampleEvent,
  sampleUlid,
  waitingPairing,
} from '../testing/samples.ts';
import { sha256Hex } from '../testing/sha256.ts';
import { openPostgresRegistry, type PostgresRegistryOptions } from './open.ts';
import type { PostgresRegistry } from './registry.ts';

const revoked = (): RegistryEvent => ({ type: 'device_revoked', deviceId: sampleUlid(), reason: 'lost' });

for (const listens of [true, false])
  describe(`several daemons on one PostgreSQL, ${listens ? 'with' : 'without'} notifications`, {
    skip: missingPostgres,
  }, () => {
    const postgres = new PostgresForTests(listens);

    async function open(
      t: TestContext,
      url: string,
      daemon: string,
      options: Partial<PostgresRegistryOptions> = {},
    ): Promise<PostgresRegistry> {
      const registry = await openPostgresRegistry({ url, daemon, listens, ...options });
      t.after(() => registry.close());
      return registry;
    }

    async function fleet(t: TestContext, count: number, options: Partial<PostgresRegistryOptions> = {}) {
      const url = await postgres.database();
      const names = Array.from({ length: count }, (_, index) => `daemon ${index}`);
      return { url, registries: await Promise.all(names.map((name) => open(t, url, name, options))) };
    }

    test('three daemons that open an empty database at the same time set it up once', async (t) => {
      for (let round = 0; round < 2; round += 1) {
        const url = await postgres.server.database();
        const registries = await Promise.all(['a', 'b', 'c'].map((daemon) => open(t, url, daemon)));
        await Promise.all(registries.map((each) => each.transact((tx) => tx.appendAudit(sampleEvent()))));
        assert.equal((await registries[0]!.auditHead()).seq, 3);
        await Promise.all(registries.map((each) => each.close()));
      }
    });

    test('their changes form one sequence: one audit chain, no lost update, and no gap', async (t) => {
      const { registries } = await fleet(t, 3);
      const add = async (registry: PostgresRegistry, number: number) =>
        registry.transact(async (tx) => {
          await tx.putSetting('sum', String(Number((await tx.setting('sum')) ?? 0) + 1));
          await tx.appendAudit(sampleEvent());
          tx.emit(revoked());
          if (number % 5 === 4) throw new Error('not this one');
        });
      const outcomes = await Promise.allSettled(
        registries.flatMap((registry) => Array.from({ length: 40 }, (_, number) => add(registry, number))),
      );
      const made = outcomes.filter(({ status }) => status === 'fulfilled').length;
      assert.equal(made, 3 * 32);
      for (const registry of registries) {
        assert.equal(await registry.setting('sum'), String(made));
        const head = await registry.auditHead();
        assert.equal(head.seq, made);
        assert.equal((await verifyAuditChain(registry.auditRows(), head, sha256Hex)).ok, true);
      }
    });

    test('every daemon gets every event once, in the order of the commits, and its own events at once', async (t) => {
      const { registries } = await fleet(t, 3);
      const heard = registries.map((registry, index) => {
        const events: string[] = [];
        registry.subscribe((event, origin) => {
          assert.equal(event.type, 'device_revoked');
          if (event.type !== 'device_revoked') return;
          assert.equal(origin, event.reason.startsWith(`${index} `) ? 'here' : 'elsewhere');
          events.push(event.reason);
        });
        return events;
      });
      for (let round = 0; round < 15; round += 1)
        await Promise.all(
          registries.map(async (registry, index) => {
            const reason = `${index} ${round}`;
            await registry.transact(async (tx) =>
              tx.emit({ type: 'device_revoked', deviceId: sampleUlid(), reason }),
            );
            assert.ok(heard[index]!.includes(reason), 'heard by the time the change is answered');
          }),
        );
      await Promise.all(registries.map((registry) => registry.upToDate()));
      for (const events of heard) {
        assert.equal(events.length, 45);
        assert.equal(new Set(events).size, 45);
        for (const index of [0, 1, 2]) {
          const own = events.filter((each) => each.startsWith(`${index} `));
          assert.deepEqual(
            own,
            Array.from({ length: 15 }, (_, round) => `${index} ${round}`),
          );
        }
      }
    });

    test('an up-to-date daemon knows every change that was acknowledged before its request', async (t) => {
      const { registries } = await fleet(t, 2, { listens: false });
      const [a, b] = registries as [PostgresRegistry, PostgresRegistry];
      let known = 0;
      b.enforce(() => {
        known += 1;
      });
      for (let round = 1; round <= 50; round += 1) {
        await a.transact(async (tx) => tx.emit(revoked()));
        const before = b.changes;
        await b.upToDate();
        assert.equal(known, round);
        assert.notEqual(b.changes, before);
      }
    });

    test('simultaneous requests share a read, and no request is answered from an earlier read', async (t) => {
      const { registries } = await fleet(t, 1, { listens: false });
      const [registry] = registries as [PostgresRegistry];
      const first = registry.upToDate();
      const second = registry.upToDate();
      assert.equal(first, second, 'asked in one turn of the event loop');
      await Promise.resolve();
      await Promise.resolve();
      const third = registry.upToDate();
      const fourth = registry.upToDate();
      assert.notEqual(third, first, 'the read has begun');
      assert.equal(third, fourth);
      await Promise.all([first, third]);
    });

    test('a change without an event still invalidates remembered standings, and a contact does not', async (t) => {
      const { registries } = await fleet(t, 2, { listens: false });
      const [a, b] = registries as [PostgresRegistry, PostgresRegistry];
      const { device, certificate } = await addDevice(a);
      await b.upToDate();
      const moved = async (change: Parameters<PostgresRegistry['transact']>[0]) => {
        const before = b.changes;
        await a.transact(change);
        await b.upToDate();
        return b.changes !== before;
      };
      const seen = { ...device, lastSeenAt: new Date(1_700_000_000_000) };
      assert.equal(await moved((tx) => tx.updateDevice(seen, device)), false);
      assert.equal(await moved((tx) => tx.updateDevice({ ...seen, name: 'another' }, seen)), true);
      assert.equal(await moved((tx) => tx.updateDevice({ ...seen, role: 'operator' }, seen)), true);
      assert.equal(await moved((tx) => tx.updateDevice(revokedDevice(device), seen)), true);
      assert.equal(await moved((tx) => tx.updateDevice(device)), true, 'without what was before');
      assert.equal(await moved((tx) => tx.moveCertificate(certificate.serial, 'active', 'superseded')), true);
      assert.equal(await moved((tx) => tx.moveAuthority(certificate.issuerId, 'active', 'trusted')), true);
      assert.equal(await moved((tx) => tx.insertDevice(sampleDevice())), true);
      assert.equal(await moved((tx) => tx.putSetting('x', 'y')), false);
    });

    test('other daemons get events unchanged, and a pairing in its current state', async (t) => {
      const { registries } = await fleet(t, 2);
      const [a, b] = registries as [PostgresRegistry, PostgresRegistry];
      const heard: RegistryEvent[] = [];
      b.subscribe((event) => heard.push(event));
      const deviceId = sampleUlid();
      const at = new Date(1_700_000_000_123);
      const events: RegistryEvent[] = [
        { type: 'device_revoked', deviceId, reason: 'ß "\\ \n lost' },
        { type: 'device_quarantined', deviceId },
        {
          type: 'clone_suspected',
          deviceId,
          name: 'n',
          serial: '0a',
          source: '::1',
          at,
          quarantined: true,
          sign: 'recovery',
        },
        { type: 'recovery_asked', deviceId, name: 'n', reason: 'r', possibleCopy: false, source: '', at },
        { type: 'device_role_changed', deviceId, role: 'operator' },
        { type: 'authority_retired', issuerId: sampleUlid() },
        { type: 'certificate_revoked', serial: '0b', deviceId },
        { type: 'certificate_superseded', serial: '0c', deviceId },
      ];
      const pairing = waitingPairing();
      await a.transact(async (tx) => {
        await tx.insertPairing(pairing);
        for (const event of events) tx.emit(event);
        tx.emit({ type: 'pairing_changed', pairing });
      });
      await b.upToDate();
      assert.deepEqual(heard, [...events, { type: 'pairing_changed', pairing }]);
    });

    test(`an idle daemon learns of a change ${listens ? 'by a notification' : 'by its poll'}`, async (t) => {
      const { registries } = await fleet(t, 2);
      const [a, b] = registries as [PostgresRegistry, PostgresRegistry];
      let heard = 0;
      b.enforce(() => {
        heard += 1;
      });
      await a.transact(async (tx) => tx.emit(revoked()));
      await until('the other hears of it', () => heard === 1);
    });

    test('a daemon that missed events closes every connection, and continues', async (t) => {
      const { url, registries } = await fleet(t, 1);
      const [a] = registries as [PostgresRegistry];
      const b = await open(t, url, 'asleep', { listens: false });
      const heard: string[] = [];
      b.enforce(({ type }) => heard.push(type));
      await postgres.server.sql(
        url,
        `update ledger set event_seq = 7; insert into events values (7, 0, 'x', '{"type":"device_quarantined"}')`,
      );
      await b.upToDate();
      assert.deepEqual(heard, ['changes_missed', 'device_quarantined']);
      await a.transact(async (tx) => tx.emit(revoked()));
      await b.upToDate();
      assert.deepEqual(heard, ['changes_missed', 'device_quarantined', 'device_revoked']);
    });

    test('an event of a newer version closes everything, because it may take rights away', async (t) => {
      const { url, registries } = await fleet(t, 1);
      const [registry] = registries as [PostgresRegistry];
      const heard: string[] = [];
      registry.enforce(({ type }) => heard.push(type));
      await postgres.server.sql(
        url,
        `update ledger set event_seq = 1; insert into events values (1, 0, 'x', '{"type":"device_frozen"}')`,
      );
      await registry.upToDate();
      assert.deepEqual(heard, ['changes_missed']);
    });

    test('a read that overlaps with an own change is not mistaken for an older database', async (t) => {
      const { registries } = await fleet(t, 1);
      const [registry] = registries as [PostgresRegistry];
      let isDone = false;
      const asking = Promise.all(
        [1, 2].map(async () => {
          while (!isDone) await registry.upToDate();
        }),
      );
      try {
        for (let change = 0; change < 100; change += 1)
          await registry.transact(async (tx) => {
            await tx.appendAudit(sampleEvent());
            tx.emit(revoked());
          });
      } finally {
        isDone = true;
      }
      await asking;
    });
  });
