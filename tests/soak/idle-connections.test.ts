// A daemon with many idle connections.

import assert from 'node:assert/strict';
import type { NodeConnection } from '@palyra/rpc';
import { bothTransports, pause, Target, underAttack } from '../testing/attacked-daemon.ts';
import { soakTest } from '../testing/soak.ts';

soakTest(
  'a thousand idle connections of paired devices cost little, and other calls continue',
  {
    rounds: 34,
  },
  async (t, { count }) => {
    // This many handshakes at once take a while on a small machine.
    const limits = { strangersPerSource: 100, handshakeTimeoutMs: 60_000, liveCodes: 64 };
    const target = await Target.start(t, limits);
    const devices = await Promise.all(Array.from({ length: count }, () => target.pair()));
    await underAttack(t, target, async () => {
      const held: NodeConnection[] = [];
      t.after(() => {
        for (const each of held) each.destroy();
      });
      for (const device of devices) {
        // Few at a time, because a handshake over QUIC has ten seconds.
        for (let group = 0; group < 5; group += 1) {
          const pairs = Array.from({ length: 3 }, async () => held.push(...(await bothTransports(device))));
          await Promise.all(pairs);
        }
      }
      assert.equal(held.length, 30 * count);
      await pause(500);
      for (const each of held) each.close();
      await Promise.all(held.map(({ closed }) => closed));
    });
  },
);
