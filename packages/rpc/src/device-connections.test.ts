import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { hasCode, IdentityError, makeUlid } from '@palyra/identity';
import { DeviceConnections } from './device-connections.ts';

/** One admitted connection, and a registry that counts how often it is read, and refuses or holds a read when told. */
async function oneConnection() {
  const device = {
    deviceId: makeUlid(new Date(), new Uint8Array(10)),
    role: 'device' as const,
    serial: '01',
  };
  const registry = { reads: 0, revoked: false, held: undefined as Promise<void> | undefined };
  const connections = new DeviceConnections({
    admit: async () => device,
    authenticate: async () => {
      registry.reads += 1;
      const { revoked, held } = registry;
      await held;
      if (revoked) throw new IdentityError('DEVICE_REVOKED', 'revoked');
      return device;
    },
    revocationEpoch: 0,
  });
  const { peer, admission } = connections.add({
    transport: 'http2',
    certificate: { fingerprint: '00', notAfter: new Date(Date.now() + 60_000) },
    source: '127.0.0.1',
    shut: () => {},
  });
  await admission;
  return { peer, registry };
}

describe('the check of a call', () => {
  it('is a read of its own for a call that comes alone', async () => {
    const { peer, registry } = await oneConnection();
    for (const reads of [1, 2, 3]) {
      await peer.check();
      assert.equal(registry.reads, reads);
    }
  });

  it('is one read for calls that come together', async () => {
    const { peer, registry } = await oneConnection();
    await Promise.all([peer.check(), peer.check(), peer.check()]);
    assert.equal(registry.reads, 1);
  });

  it('is never a read that began before the call', async () => {
    const { peer, registry } = await oneConnection();
    const early = Promise.withResolvers<void>();
    registry.held = early.promise;
    const first = peer.check();
    while (registry.reads === 0) await setImmediate();
    registry.held = undefined;
    registry.revoked = true;
    await assert.rejects(peer.check(), (error) => hasCode(error, 'DEVICE_REVOKED'));
    early.resolve();
    await first;
    assert.equal(registry.reads, 2);
  });

  it('refuses all calls that a refusal answers', async () => {
    const { peer, registry } = await oneConnection();
    const calls = [peer.check(), peer.check()];
    registry.revoked = true;
    for (const call of calls) await assert.rejects(call, (error) => hasCode(error, 'DEVICE_REVOKED'));
  });
});
