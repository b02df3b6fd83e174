// Tests for every registry: the audit chain.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { AUDIT_GENESIS_HASH } from '@palyra/identity/registry';
import { addDevice, after, expiredPairing, sampleEvent, sampleUlid } from '../samples.ts';
import type { SuiteTest } from './suite-test.ts';
import { verify } from './verify.ts';

export function auditChainTests(name: string, it: SuiteTest): void {
  describe(`${name}: the audit chain`, () => {
    it('starts at the genesis hash and verifies after every row', async (registry) => {
      assert.deepEqual(await registry.auditHead(), { seq: 0, hash: AUDIT_GENESIS_HASH });
      assert.deepEqual(await verify(registry), { ok: true, rows: 0, headHash: AUDIT_GENESIS_HASH });
      for (const rows of [1, 2, 3]) {
        await registry.transact((tx) => tx.appendAudit(sampleEvent({ at: after(rows) })));
        const head = await registry.auditHead();
        assert.equal(head.seq, rows);
        assert.deepEqual(await verify(registry), { ok: true, rows, headHash: head.hash });
      }
    });

    it('equal details have equal bytes', async (registry) => {
      const event = sampleEvent({ detail: { words: 'a "b"', 10: 1, 9: true, name: 'ł' } });
      await registry.transact((tx) => tx.appendAudit(event));
      const [row] = await registry.audit({ limit: 1 });
      assert.equal(row?.detailJson, '{"10":1,"9":true,"name":"ł","words":"a \\"b\\""}');
      assert.equal(row.atMs, event.at.getTime());
      assert.equal(row.action, event.action);
      assert.equal(row.subject, event.subject);
    });

    it('rows are listed newest first, also before a given row or about one subject', async (registry) => {
      await registry.transact(async (tx) => {
        for (const subject of ['a', 'b', 'a', 'b', 'aa']) await tx.appendAudit(sampleEvent({ subject }));
      });
      const seqs = async (query: Parameters<typeof registry.audit>[0]) =>
        (await registry.audit(query)).map((row) => row.seq);
      assert.deepEqual(await seqs({ limit: 10 }), [5, 4, 3, 2, 1]);
      assert.deepEqual(await seqs({ limit: 2, before: 4 }), [3, 2]);
      assert.deepEqual(await seqs({ limit: 10, subject: 'a' }), [3, 1]);
      assert.deepEqual(await seqs({ limit: 10, subject: 'a', before: 3 }), [1]);
      await registry.transact((tx) =>
        tx.appendAudit(sampleEvent({ subject: 'a', action: 'recovery.asked' })),
      );
      await registry.transact((tx) => tx.appendAudit(sampleEvent({ subject: 'a' })));
      assert.deepEqual(await seqs({ limit: 1, subject: 'a', action: 'recovery.asked' }), [6]);
    });

    it('a device’s rows include those of its certificates and pairings, and a family selects the beginning of an action', async (registry) => {
      const { device, certificate } = await addDevice(registry);
      const pairing = expiredPairing({ deviceId: device.id });
      await registry.transact(async (tx) => {
        await tx.insertPairing(pairing);
        await tx.insertPairing(expiredPairing());
        for (const subject of [device.id, certificate.serial, pairing.id, sampleUlid()])
          await tx.appendAudit(sampleEvent({ subject }));
        await tx.appendAudit(sampleEvent({ subject: device.id, action: 'device.renamed' }));
      });
      const first = Number((await registry.auditHead()).seq) - 5;
      const seqs = async (query: Omit<Parameters<typeof registry.audit>[0], 'limit'>) =>
        (await registry.audit({ limit: 10, ...query })).map(({ seq }) => seq - first);
      assert.deepEqual(await seqs({ device: device.id }), [5, 3, 2, 1]);
      assert.deepEqual(await seqs({ device: device.id, before: first + 3 }), [2, 1]);
      assert.deepEqual(await seqs({ family: 'device', device: device.id }), [5]);
      assert.deepEqual(await seqs({ family: 'devic' }), []);
    });

    it('all rows are listed in order over many pages, while changes continue', async (registry) => {
      const rows = 1201;
      await registry.transact(async (tx) => {
        for (let row = 0; row < rows; row += 1) await tx.appendAudit(sampleEvent());
      });
      const seqs: number[] = [];
      for await (const row of registry.auditRows()) {
        if (row.seq === 700) await registry.transact((tx) => tx.appendAudit(sampleEvent()));
        seqs.push(row.seq);
      }
      assert.deepEqual(
        seqs,
        Array.from({ length: rows + 1 }, (_, index) => index + 1),
      );
    });
  });
}
