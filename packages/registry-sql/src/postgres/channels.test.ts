// Several daemons that write their channels at the same time.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { missingPostgres, PostgresForTests } from '../testing/postgres.ts';
import { openPostgresRegistry } from './open.ts';

describe('the channels of a fleet', { skip: missingPostgres }, () => {
  const postgres = new PostgresForTests();

  async function fleet(t: TestContext, ...daemons: string[]) {
    const url = await postgres.database();
    const registries = await Promise.all(
      daemons.map(async (daemon) => {
        const registry = await openPostgresRegistry({ url, daemon });
        t.after(() => registry.close());
        await registry.announce({ ...about, id: daemon });
        return registry;
      }),
    );
    return { url, registries, channels: registries.map((each) => each.channels) };
  }

  test('a channel belongs to one daemon, until another one names its claim', async (t) => {
    const { channels } = await fleet(t, 'a', 'b');
    const [a, b] = channels as [(typeof channels)[0], (typeof channels)[0]];
    assert.equal(await a.claim(claimOf('x', 'first')), true);
    assert.equal(await b.claim(claimOf('x', 'second')), false);
    const [found] = await b.find(['x']);
    assert.deepEqual([found?.daemon, found?.claim, found?.isAlive], ['a', 'first', true]);
    assert.equal(await b.claim({ ...claimOf('x', 'second'), replaces: 'another' }), false);
    assert.equal(await b.claim({ ...claimOf('x', 'second'), replaces: 'first' }), true);
    a.release('x', 'first');
    await a.settled();
    assert.equal(
      (await a.find(['x']))[0]?.daemon,
      'b',
      'the end of an earlier channel does not end a later one',
    );
    assert.deepEqual([...(await a.own())], []);
    b.release('x', 'second');
    await b.settled();
    assert.deepEqual(await a.find(['x']), []);
    assert.equal(await a.claim(claimOf('x', 'third')), true);
  });

  test('of two daemons that replace the same channel, one does', async (t) => {
    const { channels } = await fleet(t, 'a', 'b', 'c');
    const [a, b, c] = channels as [(typeof channels)[0], (typeof channels)[0], (typeof channels)[0]];
    for (let round = 0; round < 20; round += 1) {
      const device = `device ${round}`;
      assert.equal(await a.claim(claimOf(device, 'first')), true);
      const outcomes = await Promise.all(
        [b, c].map((each, index) => each.claim({ ...claimOf(device, `new ${index}`), replaces: 'first' })),
      );
      assert.deepEqual(outcomes.sort(), [false, true]);
    }
  });

  test('several claims for one device in one batch are all made, and the last one stays', async (t) => {
    const { channels } = await fleet(t, 'a');
    const [a] = channels;
    const claims = Array.from({ length: 5 }, (_, index) => a!.claim(claimOf('x', `claim ${index}`)));
    assert.deepEqual(await Promise.all(claims), [true, true, true, true, true]);
    assert.deepEqual([...(await a!.own())], [['x', 'claim 4']]);
  });

  test('those who watch hear of every channel that begins or ends', async (t) => {
    const { channels } = await fleet(t, 'a', 'b');
    const [a, b] = channels;
    await a!.claim(claimOf('before', '0'));
    const changed = await b!.watch();
    await changed();
    assert.deepEqual(await changed(), []);
    await a!.claim(claimOf('x', '1'));
    assert.deepEqual(await changed(), ['x']);
    a!.release('x', '1');
    await a!.settled();
    assert.deepEqual(await changed(), ['x']);
    assert.deepEqual(await changed(), []);
  });

  test('the channels of a daemon that is gone end, and it can be forgotten', async (t) => {
    const { url, registries } = await fleet(t, 'a', 'b');
    const [a, b] = registries;
    await a!.channels.claim(claimOf('x', '1'));
    assert.equal(await b!.transact((tx) => b!.forgetMember(tx, 'a')), false, 'it is alive');
    await postgres.server.sql(url, "update daemons set seen_at = seen_at - 61000 where id = 'a'");
    assert.equal((await b!.channels.find(['x']))[0]?.isAlive, false);
    assert.deepEqual(
      (await b!.members()).map(({ id, isAlive }) => [id, isAlive]),
      [
        ['a', false],
        ['b', true],
      ],
    );
    await b!.announce({ ...about, id: 'b' });
    assert.deepEqual(await b!.channels.find(['x']), []);
    assert.equal(await b!.transact((tx) => b!.forgetMember(tx, 'a')), true);
    assert.equal(await b!.transact((tx) => b!.forgetMember(tx, 'a')), false);
    assert.deepEqual(
      (await b!.members()).map(({ id }) => id),
      ['b'],
    );
    await a!.channels.claim(claimOf('y', '2'));
    await a!.channels.begin();
    assert.deepEqual([...(await a!.channels.own())], []);
  });
});

const about = {
  version: '1.0.0',
  endpoints: { pairing: [], node: [], quic: [], web: [] },
  peerAddresses: [],
  certificates: [],
  names: [],
  connections: {},
  databaseMs: 0,
  startedAt: new Date(),
};

const claimOf = (deviceId: string, claim: string) => ({ deviceId, claim, agent: 'agent', facts: '{}' });
