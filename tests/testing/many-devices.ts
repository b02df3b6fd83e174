// Inserts devices directly into the registry of a running daemon, because tests of lists do not need real pairings.

import type { Device } from '@palyra/identity/registry';
import { type DeviceId, makeUlid } from '@palyra/identity/values';
import type { TestDaemon } from './running-daemon.ts';

/** `device 00001` and so on, in the order of their ids. */
export async function insertDevices({ running }: TestDaemon, count: number): Promise<void> {
  const now = new Date();
  await running.identity.registry.transact(async (tx) => {
    for (let index = 1; index <= count; index += 1) {
      const entropy = Buffer.alloc(10);
      entropy.writeUInt32BE(index);
      const device: Device = {
        id: makeUlid(now, entropy) as DeviceId,
        identityKey: new Uint8Array(32).fill(1),
        name: `device ${String(index).padStart(5, '0')}`,
        kind: 'node',
        platform: 'linux-arm64',
        role: 'device',
        state: 'approved',
        createdAt: now,
        lastSeenAt: undefined,
        capabilities: [],
        hostNames: [],
        labels: [],
        cloneSeenAt: undefined,
        cloneReportedAt: undefined,
        certificateRevokedAt: undefined,
        recovery: undefined,
      };
      await tx.insertDevice(device);
    }
  });
}
