// Capabilities of devices whose channel is at another daemon of the fleet.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import type { Capability } from '@palyra/agent';
import { AdminService, dialAdmin, fromConnectError } from '@palyra/rpc';
import { Transport } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { onlyAt } from '../testing/only-at.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { variants } from '../testing/soak.ts';
import { json, parsed, TestAgent } from '../testing/test-agent.ts';
import { until, within } from '../testing/until.ts';

const nothing = json(null);

/** Three daemons, and an agent that is connected to the first one. */
async function play(fleet: FleetForTests, t: TestContext, capabilities: Record<string, Capability> = {}) {
  const daemons = (await fleet.start(t, 3)) as [TestDaemon, TestDaemon, TestDaemon];
  const device = await makeDevice();
  const enrollment = await pair(daemons[0], device);
  const agent = new TestAgent(t, device, enrollment, { transport: 'http2', capabilities });
  await agent.connected();
  const deviceId = device.identity.id;
  return { daemons, device, enrollment, agent, deviceId };
}

// Without notifications every daemon has to ask.
for (const listens of variants([true, false], (each) => !each))
  describe(`a call to a device at another daemon, ${listens ? 'with' : 'without'} notifications`, {
    skip: missingPostgres,
  }, () => {
    const fleet = new FleetForTests('', { listens });

    test('runs, whichever daemon is asked', async (t) => {
      const { daemons, deviceId } = await play(fleet, t, {
        double: async ({ input }) => json(2 * Number(parsed(input))),
      });
      for (const { admin } of daemons) {
        const { output, reconnects } = await admin.executeCapability({
          deviceId,
          capability: 'double',
          input: json(21),
        });
        assert.deepEqual([parsed(output), reconnects], [42, 0]);
      }
      const rows = await daemons[1].running.identity.registry.audit({
        limit: 10,
        action: 'capability.executed',
      });
      assert.deepEqual(
        rows.map(({ detailJson }) => JSON.parse(detailJson)),
        Array.from({ length: 3 }, () => ({ capability: 'double', outcome: 'OK', by: 'admin socket' })),
        'each run has one row',
      );
    });

    test('is possible because every daemon shows the device as connected, and hears of its end', async (t) => {
      const { daemons, deviceId, agent } = await play(fleet, t);
      for (const { admin } of daemons) {
        const { devices } = await admin.listDevices({});
        assert.deepEqual(
          devices.map(({ id, transport }) => [id, transport]),
          [[deviceId, Transport.HTTP2]],
        );
        assert.equal((await admin.getDevice({ id: deviceId })).device?.transport, Transport.HTTP2);
        assert.equal((await admin.getStatus({})).connected, 1);
        const { asked, connected } = await admin.renewDevices({ ids: [deviceId], withinMs: 86_400_000n });
        assert.deepEqual([asked, connected], [1, 1]);
      }
      const seen = Promise.withResolvers<void>();
      const gone = Promise.withResolvers<void>();
      const stop = new AbortController();
      t.after(() => stop.abort());
      const watching = async () => {
        for await (const { event } of daemons[2].admin.watch({}, { signal: stop.signal })) {
          if (event.case === 'currentAtMs') seen.resolve();
          if (event.case === 'device' && event.value.transport === Transport.UNSPECIFIED) gone.resolve();
        }
      };
      watching().catch(() => {});
      await within('the watch begins', seen.promise);
      await agent.stop();
      await within('the watcher hears of the end', gone.promise);
      assert.equal((await daemons[1].admin.getStatus({})).connected, 0);
    });

    test('to a device that was revoked at a third daemon is refused from the acknowledgement on', async (t) => {
      let runs = 0;
      const { daemons, deviceId } = await play(fleet, t, {
        count: async () => {
          runs += 1;
          return nothing;
        },
      });
      const [a, b, c] = daemons;
      await b.admin.executeCapability({ deviceId, capability: 'count' });
      await c.admin.revokeDevice({ id: deviceId, reason: 'lost' });
      const ranBefore = runs;
      for (const { admin } of [b, a])
        await assert.rejects(admin.executeCapability({ deviceId, capability: 'count' }), (error) =>
          ['DEVICE_NOT_CONNECTED', 'DEVICE_REVOKED'].includes(fromConnectError(error).code),
        );
      assert.equal(runs, ranBefore);
    });

    test('follows a device that moves, and an operator’s device may ask any daemon', async (t) => {
      const { daemons, device, enrollment, agent, deviceId } = await play(fleet, t);
      const [, b, c] = daemons;
      await agent.stop();
      const moved = new TestAgent(t, device, onlyAt(enrollment, b), { transport: 'http2' });
      await moved.connected();
      assert.equal(moved.address, b.nodeAddress);
      for (const { admin } of daemons)
        assert.ok((await admin.executeCapability({ deviceId, capability: 'system.info' })).output.length > 0);
      await expectCode(
        c.admin.executeCapability({ deviceId: '01ARZ3NDEKTSV4RRFFQ69G5FAV', capability: 'system.info' }),
        'DEVICE_NOT_CONNECTED',
      );
    });
  });

describe('such a call', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();

  test('keeps the code of each error', async (t) => {
    const { daemons, deviceId } = await play(fleet, t, {
      fail: async () => {
        throw new Error('no coffee');
      },
      large: async () => new Uint8Array(600 * 1024),
      hang: ({ signal }) =>
        new Promise((resolve) => signal.addEventListener('abort', () => resolve(nothing))),
    });
    const [a, b] = daemons;
    const calls = {
      CAPABILITY_FAILED: { capability: 'fail' },
      CAPABILITY_UNKNOWN: { capability: 'none' },
      CAPABILITY_OUTPUT_TOO_LARGE: { capability: 'large' },
      CAPABILITY_TIMEOUT: { capability: 'hang', timeoutMs: 50 },
      MESSAGE_TOO_LARGE: { capability: 'fail', input: new Uint8Array(512 * 1024 + 1) },
    } as const;
    for (const [code, call] of Object.entries(calls)) {
      const [here, there] = await Promise.all(
        [a, b].map(({ admin }) =>
          admin.executeCapability({ deviceId, ...call }).then(
            () => assert.fail(`${code} was expected`),
            (error) => fromConnectError(error),
          ),
        ),
      );
      assert.equal(there!.code, code, there!.message);
      assert.equal(there!.message, here!.message);
    }
  });

  test('takes as much as a device takes', async (t) => {
    const { daemons, deviceId } = await play(fleet, t, { echo: async ({ input }) => input });
    const input = new Uint8Array(512 * 1024).fill(32);
    input[0] = 49;
    const { output } = await daemons[2].admin.executeCapability({ deviceId, capability: 'echo', input });
    assert.equal(output.length, input.length);
  });

  test('ends on the device when its caller leaves', async (t) => {
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const { daemons, deviceId } = await play(fleet, t, {
      hang: ({ signal }) =>
        new Promise((resolve) => {
          begun.resolve();
          signal.addEventListener('abort', () => {
            ended.resolve();
            resolve(nothing);
          });
        }),
    });
    const leave = new AbortController();
    const call = daemons[1].admin.executeCapability(
      { deviceId, capability: 'hang' },
      { signal: leave.signal },
    );
    call.catch(() => {});
    await begun.promise;
    leave.abort();
    await ended.promise;
    await assert.rejects(call);
  });

  test('many at the same time run at the same time', async (t) => {
    // A connection works on 100 calls at a time, between two daemons too.
    const all = 180;
    let running = 0;
    const together = Promise.withResolvers<void>();
    const { daemons, deviceId } = await play(fleet, t, {
      meet: async () => {
        running += 1;
        if (running === all) together.resolve();
        await together.promise;
        return nothing;
      },
    });
    const [, asked] = daemons;
    const second = await dialAdmin(join(asked.home, 'daemon', 'admin.sock'));
    asked.closeAtEnd(second);
    const admins = [asked.admin, createClient(AdminService, second.transport)];
    const calls = Array.from({ length: all }, (_, index) =>
      admins[index % 2]!.executeCapability({ deviceId, capability: 'meet' }),
    );
    await Promise.all(calls);
  });

  test('to a device that has gone is refused as on one daemon', async (t) => {
    const { daemons, deviceId, agent } = await play(fleet, t);
    await agent.stop();
    for (const { admin } of daemons) {
      await until('the device is not connected', async () => {
        const error = await admin.executeCapability({ deviceId, capability: 'system.info' }).then(
          () => undefined,
          (cause) => fromConnectError(cause),
        );
        return error?.code === 'DEVICE_NOT_CONNECTED';
      });
    }
  });
});
