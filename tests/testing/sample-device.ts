// A device with its secrets in memory, and a whole pairing in one call for tests that start after it.

import { MemorySecretStore } from '@palyra/identity';
import {
  awaitPairing,
  DeviceIdentity,
  type PairedEnrollment,
  type PairingDevice,
  type PairingPeer,
  type PendingEnrollment,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { type Clock, nodeCrypto, systemClock } from '@palyra/identity/values';
import type { TestDaemon } from './running-daemon.ts';
import { longestWaitMs } from './until.ts';

export interface SampleDevice extends PairingDevice {
  readonly secrets: MemorySecretStore;
}

export async function makeDevice(
  options: { readonly clock?: Clock; readonly name?: string; readonly identity?: DeviceIdentity } = {},
): Promise<SampleDevice> {
  const clock = options.clock ?? systemClock;
  return {
    identity: options.identity ?? (await DeviceIdentity.create(nodeCrypto, clock)),
    secrets: new MemorySecretStore(),
    crypto: nodeCrypto,
    clock,
    kind: 'cli',
    name: options.name ?? 'laptop',
    platform: 'linux x64',
  };
}

/** Another key under a known id, like a reinstalled device or an impostor. */
export async function sameIdOtherKey(identity: DeviceIdentity): Promise<DeviceIdentity> {
  const other = await DeviceIdentity.create(nodeCrypto, systemClock);
  const { id, crypto } = identity;
  return { id, crypto, publicKey: other.publicKey, sign: other.sign.bind(other) } as DeviceIdentity;
}

/** Makes a request with a new code, up to the operator's decision. */
export async function request(
  daemon: TestDaemon,
  device: PairingDevice,
  peer?: PairingPeer,
): Promise<PendingEnrollment> {
  const { code } = await daemon.admin.mintCode({});
  return requestPairing(device, peer ?? (await daemon.peer()), parsePairingCode(code), daemon.pairingAddress);
}

/** From the operator's decision to the certificate. */
export async function collect(
  daemon: TestDaemon,
  device: PairingDevice,
  pending: PendingEnrollment,
): Promise<PairedEnrollment> {
  return awaitPairing(device, await daemon.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
}

export async function pair(
  daemon: TestDaemon,
  device: PairingDevice,
  choice: { readonly replaceIdentityKey?: boolean; readonly operator?: boolean } = {},
): Promise<PairedEnrollment> {
  const pending = await request(daemon, device);
  await daemon.admin.approvePairing({ id: pending.requestId, ...choice });
  return collect(daemon, device, pending);
}
