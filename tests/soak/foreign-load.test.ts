// gRPC clients with their defaults call at full speed, alone and at the ends of the limits on calls of a session: no call fails.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { NodeService } from '@palyra/rpc';
import { defaultHttp2Limits } from '@palyra/rpc/transport';
import { grpcGo, grpcio, type Outcomes, runForeign, type Setup } from '../testing/foreign-clients.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { soakTest, variants } from '../testing/soak.ts';
import { longestWaitMs } from '../testing/until.ts';

const status = `/${NodeService.typeName}/${NodeService.method.status.name}`;
const { streamsPerSession, waitingStreams } = defaultHttp2Limits;
const seconds = 60;

async function noneFails(t: TestContext, client: typeof grpcGo, longestMs: number, setup: Setup) {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const outcomes = await runForeign<Outcomes>(
    client,
    daemon.nodeAddress,
    await pair(daemon, device),
    setup,
    longestMs,
  );
  t.diagnostic(`${outcomes.calls} calls, ${outcomes.failed} failed`);
  assert.deepEqual(outcomes.failures, {});
  assert.ok(outcomes.calls > 0);
}

for (const client of [grpcGo, grpcio]) {
  const loads = [1, streamsPerSession, streamsPerSession + waitingStreams];
  for (const workers of variants(loads, (each) => each !== streamsPerSession)) {
    soakTest(
      `${client.name} calls without a pause, ${workers} at one time, and no call fails`,
      { rounds: seconds, tested: 1, skip: client.skip },
      async (t, { count }) => {
        const setup: Setup = { kind: 'load', method: status, seconds: count, workers };
        await noneFails(t, client, longestWaitMs + count * 1_000, setup);
      },
    );
  }
}

const events = `/${NodeService.typeName}/${NodeService.method.events.name}`;

for (const client of [grpcGo, grpcio]) {
  soakTest(
    `${client.name} cancels as many calls as are served at one time and begins others, and none of these fails`,
    { rounds: 20, skip: client.skip },
    async (t, { count }) => {
      // One place is left for the call that reports when the others have arrived.
      const calls = streamsPerSession - 1;
      const setup: Setup = { kind: 'wave', method: status, cancelled: events, calls };
      for (let round = 0; round < count; round += 1) await noneFails(t, client, longestWaitMs, setup);
    },
  );
}
