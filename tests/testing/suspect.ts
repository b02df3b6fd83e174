// Marks a device as possibly copied, directly in the registry, for tests of the consequences.

import assert from 'node:assert/strict';
import type { AdmittedDevice, Registry } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';

export async function markAsCopied(registry: Registry, id: DeviceId): Promise<AdmittedDevice> {
  return registry.transact(async (tx) => {
    const device = await tx.device(id);
    assert.ok(device?.state === 'approved' || device?.state === 'active');
    const marked = { ...device, cloneSeenAt: new Date() };
    await tx.updateDevice(marked);
    return marked;
  });
}

export async function quarantine(registry: Registry, id: DeviceId): Promise<void> {
  const marked = await markAsCopied(registry, id);
  await registry.transact((tx) => tx.updateDevice({ ...marked, state: 'quarantined', recovery: undefined }));
}
