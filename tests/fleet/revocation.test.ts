// A revocation on one of three daemons holds on all of them at once, for devices with connections over HTTP/2, QUIC and WebSocket.

import { describe, type TestContext, test } from 'node:test';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import {
  type Member,
  playRevocation,
  processAsMember,
  testDaemonAsMember,
  withWeb,
} from '../testing/revocation-round.ts';

describe('a revocation on one of three daemons', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('holds on all of them at once', async (t) => {
    const daemons = await fleet.startProcesses(t, 3, await fleet.settings(), withWeb);
    const members = await Promise.all(daemons.map(processAsMember));
    await play(t, members, [0, 1]);
  });
});

describe('a revocation on one of three daemons without notifications', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests('', { listens: false });

  test('holds on all of them at once', async (t) => {
    const daemons = await fleet.start(t, 3, withWeb);
    await play(t, daemons.map(testDaemonAsMember), [0]);
  });
});

async function play(t: TestContext, members: readonly Member[], rounds: readonly number[]): Promise<void> {
  const delays: number[] = [];
  for (const round of rounds) delays.push(...(await playRevocation(t, members, round)));
  t.diagnostic(`idle connections closed after ${delays.map(Math.round).join(', ')} ms`);
}
