import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthenticatedDevice, IdentityError } from '@palyra/identity';
import { ChainJudge } from '@palyra/identity/certificate';
import { makeUlid, parseDeviceId } from '@palyra/identity/values';
import { DeviceConnections } from './device-connections.ts';

const deviceId = parseDeviceId(makeUlid(new Date(), crypto.getRandomValues(new Uint8Array(10))));
const hourMs = 60 * 60_000;

/** Connections of one device; shutting the one at `failing` fails until it is cleared. */
async function connect(count: number, failing: { at: number | undefined }) {
  const device: AuthenticatedDevice = {
    deviceId,
    name: 'laptop',
    role: 'device',
    serial: 'ab'.repeat(16),
    notAfterMs: Date.now() + hourMs,
    renewAtMs: undefined,
    issuerId: deviceId,
  };
  const errors: unknown[] = [];
  const shut: number[] = [];
  const connections = new DeviceConnections(
    {
      admit: async () => device,
      authenticate: async () => device,
      revocationEpoch: 0,
      upToDate: () => undefined,
      chainJudge: new ChainJudge([]),
    },
    (error) => errors.push(error),
  );
  for (let at = 0; at < count; at += 1) {
    const { admission } = connections.add({
      transport: 'http2',
      certificate: { fingerprint: 'cd'.repeat(32), notAfter: new Date(device.notAfterMs) },
      source: '127.0.0.1',
      shut: (_reason: IdentityError) => {
        if (failing.at === at) throw new Error(`the transport of ${at} fails`);
        shut.push(at);
      },
    });
    await admission;
  }
  return { connections, errors, shut };
}

test('a connection that cannot be shut is reported and retried, and does not keep other connections open', async () => {
  for (const type of ['device_revoked', 'device_quarantined'] as const) {
    const failing: { at: number | undefined } = { at: 1 };
    const { connections, errors, shut } = await connect(4, failing);
    connections.apply(type === 'device_revoked' ? { type, deviceId, reason: 'lost' } : { type, deviceId });
    assert.deepEqual(shut, [0, 2, 3]);
    assert.match(String(errors), /the transport of 1 fails/);
    connections.shutExpired(new Date());
    assert.deepEqual(shut, [0, 2, 3]);
    assert.equal(errors.length, 2);
    failing.at = undefined;
    connections.shutExpired(new Date());
    connections.shutExpired(new Date());
    assert.deepEqual(shut, [0, 2, 3, 1]);
    assert.equal(errors.length, 2);
  }
});

test('a connection that cannot be shut when its certificate expires does not keep other connections open', async () => {
  const { connections, errors, shut } = await connect(3, { at: 0 });
  connections.shutExpired(new Date(Date.now() + 2 * hourMs));
  assert.deepEqual(shut, [1, 2]);
  assert.equal(errors.length, 1);
});
