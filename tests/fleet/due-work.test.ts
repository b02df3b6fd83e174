// What the clock makes due, and what one daemon changes for all: done once, and followed by every daemon.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasCode, verifyAudit } from '@palyra/identity';
import { renewCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { rotationSteps } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { day, HeldClock, minute } from '../testing/held-clock.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { collect, makeDevice, pair } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

describe('due work of several daemons without notifications', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  test('a code that ends is ended once, whichever daemons look at the same time', async (t) => {
    const clock = new HeldClock();
    const daemons = await fleet.start(t, 3, { clock });
    const { code } = await daemons[0]!.admin.mintCode({});
    assert.ok(code);
    clock.advance(day);
    await Promise.all(daemons.map(({ running }) => running.tick()));
    const { registry } = daemons[1]!.running.identity;
    assert.equal((await registry.audit({ limit: 10, action: 'code.expired' })).length, 1);
    assert.equal((await verifyAudit(registry)).ok, true);
  });

  test('a new issuing CA is made once, and all daemons issue with it', async (t) => {
    const clock = new HeldClock();
    const daemons = await fleet.start(t, 3, { clock });
    const issuerOf = ({ running }: TestDaemon) => running.identity.issuerProblem();
    for (let step = 0; step < 4; step += 1) {
      clock.advance(5 * 60_000);
      await Promise.all(daemons.map(({ running }) => running.tick()));
    }
    const { registry } = daemons[0]!.running.identity;
    const [first] = (await registry.authorities()).filter(({ tier }) => tier === 'issuing');
    assert.ok(first);
    // Past two thirds of its life, and then a clock that runs steadily.
    clock.advance((first.notAfter.getTime() - first.notBefore.getTime()) * 0.7);
    for (let step = 0; step < 6; step += 1) {
      clock.advance(5 * 60_000);
      await Promise.all(daemons.map(({ running }) => running.tick()));
    }
    const issuing = (await registry.authorities()).filter(({ tier }) => tier === 'issuing');
    assert.deepEqual(issuing.map(({ state }) => state).sort(), ['active', 'trusted']);
    for (const daemon of daemons) assert.equal(issuerOf(daemon), undefined);
    assert.equal((await verifyAudit(registry)).ok, true);
  });

  test('the daemons publish one sequence of revocation lists', async (t) => {
    const daemons = await fleet.start(t, 3);
    const listOf = async ({ running }: TestDaemon) => {
      const [found] = await running.identity.revocationLists.current();
      assert.ok(found?.list, String(found?.error));
      return found.list;
    };
    // Two that make their first list at the same time both make one; the higher number stays.
    let last = Math.max(...(await Promise.all(daemons.map(listOf))).map(({ number }) => number));
    for (const [index, daemon] of daemons.entries()) {
      const device = await makeDevice();
      await pair(daemon, device);
      await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
      const before = last;
      // Another daemon publishes first.
      for (const other of [...daemons.slice(index + 1), ...daemons]) {
        const { number } = await listOf(other);
        assert.ok(number >= last, `${number} after ${last}`);
        last = number;
      }
      assert.ok(last > before, 'the revocation is in a newer list');
      const again = await Promise.all(daemons.map(listOf));
      for (const { number, der } of again) {
        assert.equal(number, last, 'nothing was revoked, so no daemon makes a list');
        assert.deepEqual(Buffer.concat(der), Buffer.concat(again[0]!.der));
      }
    }
  });

  test('every daemon follows a new root, and hands it out with the next certificate', async (t) => {
    const [a, b] = (await fleet.start(t, 2)) as [TestDaemon, TestDaemon];
    const before = b.running.identity.rootFingerprint;
    const device = await makeDevice();
    await pair(a, device);
    await a.admin.rotateRoot({ step: rotationSteps.toWire('prepare') });
    // b has heard nothing yet, and its device still gets both roots.
    const paired = await pair(b, await makeDevice());
    assert.equal(paired.trustBundle.length, 2);
    await a.admin.rotateRoot({ step: rotationSteps.toWire('activate'), force: true });
    await until('b signs with the new root', () => b.running.identity.rootFingerprint !== before);
    assert.equal(b.running.identity.rootFingerprint, a.running.identity.rootFingerprint);
    const enrollment = await pair(a, await makeDevice());
    await (await b.node(enrollment)).status({});
  });

  for (const isFirstAhead of [true, false])
    test(`clocks that are four minutes apart part nobody, if the first daemon's is ${isFirstAhead ? 'ahead' : 'behind'}`, async (t) => {
      const settings = await fleet.settings();
      const apart = isFirstAhead ? 4 * minute : -4 * minute;
      const clocks = [new HeldClock(Date.now() + apart), new HeldClock()] as const;
      const [a] = (await fleet.start(t, 1, { clock: clocks[0] }, settings)) as [TestDaemon];
      const [b] = (await fleet.start(t, 1, { clock: clocks[1] }, settings)) as [TestDaemon];
      for (const [here, there] of [
        [a, b],
        [b, a],
      ] as const) {
        const device = await makeDevice();
        const { code } = await here.admin.mintCode({});
        const pending = await requestPairing(
          device,
          await there.peer(),
          parsePairingCode(code),
          there.pairingAddress,
        );
        await here.admin.approvePairing({ id: pending.requestId });
        const enrollment = await collect(there, device, pending);
        for (const daemon of [here, there]) await (await daemon.node(enrollment)).status({});
        const node = await here.node(enrollment);
        const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
        for (const daemon of [there, here]) await (await daemon.node(renewed)).status({});
        await there.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
        for (const daemon of [there, here])
          await expectCode((await daemon.node(renewed)).status({}), 'DEVICE_REVOKED');
        for (const { running } of [here, there]) await running.tick();
      }
      const lists: (number | undefined)[] = [];
      for (const { running } of [a, b, a])
        lists.push((await running.identity.revocationLists.current())[0]?.list?.number);
      assert.ok(lists[0]);
      assert.deepEqual(lists, [lists[0], lists[0], lists[0]]);
      assert.equal((await verifyAudit(b.running.identity.registry)).ok, true);
    });

  test('the limit on pairing attempts counts at all daemons together', async (t) => {
    const daemons = await fleet.start(t, 2, { limits: { opensPerMinutePerSource: 3, opensPerMinute: 100 } });
    let accepted = 0;
    let refused = 0;
    for (let tries = 0; tries < 8; tries += 1) {
      const device = await makeDevice();
      const daemon = daemons[tries % 2]!;
      try {
        await pair(daemon, device);
        accepted += 1;
      } catch (error) {
        assert.ok(hasCode(error, 'RATE_LIMITED'), String(error));
        refused += 1;
      }
    }
    assert.equal(accepted, 3);
    assert.equal(refused, 5);
  });

  test('the last guess at a code may be confirmed, whatever another daemon does meanwhile', async (t) => {
    const clock = new HeldClock();
    const [a, b] = (await fleet.start(t, 2, { clock, limits: { guessesPerCode: 1 } })) as [
      TestDaemon,
      TestDaemon,
    ];
    const { code } = await a.admin.mintCode({});
    const device = await makeDevice({ clock });
    const peer = await a.peer();
    const slow = {
      ...peer,
      confirm: async (...asked: Parameters<typeof peer.confirm>) => {
        await b.running.tick();
        return peer.confirm(...asked);
      },
    };
    await requestPairing(device, slow, parsePairingCode(code), a.pairingAddress);
    // A handshake that never confirms: the code ends when none can be alive at any daemon.
    const { code: left } = await a.admin.mintCode({});
    const given = {
      ...peer,
      confirm: () => Promise.reject(new Error('the device went away')),
    };
    await assert.rejects(
      requestPairing(await makeDevice({ clock }), given, parsePairingCode(left), a.pairingAddress),
      /went away/,
    );
    const { registry } = b.running.identity;
    await b.running.tick();
    assert.equal((await registry.counts()).waitingCodes, 1);
    clock.advance(3 * 60_000);
    await b.running.tick();
    assert.equal((await registry.counts()).waitingCodes, 0);
    assert.equal((await registry.audit({ limit: 5, action: 'code.exhausted' })).length, 1);
  });
});
