// Connects this device to its daemon, and supplies its identity and secrets for a renewal.

import { type Dial, quicFirst } from '@palyra/agent';
import { hasCode, IdentityError } from '@palyra/identity';
import { DeviceIdentity, type PairedEnrollment, type RenewingDevice } from '@palyra/identity/device';
import { nodeCrypto, reasonOf, systemClock } from '@palyra/identity/values';
import { reachNode } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { openDeviceStore } from './device-store.ts';
import type { Home } from './home.ts';

export type Transport = 'auto' | 'http2' | 'quic';

export function dialBy(transport: Transport): Dial {
  const http2: Dial = (enrollment) => reachNode(enrollment);
  if (transport === 'http2') return http2;
  const library = createQuic();
  if (transport === 'quic') return (enrollment) => dialNodeQuic(library, enrollment);
  return quicFirst((enrollment, options) => dialNodeQuic(library, enrollment, options), http2);
}

/** Dials the node listener. @throws as `reachNode`, with a hint for a person who may know the daemon's address. */
export async function reachDaemon(
  enrollment: PairedEnrollment,
  options?: Parameters<typeof reachNode>[1],
): ReturnType<typeof reachNode> {
  try {
    return await reachNode(enrollment, options);
  } catch (cause) {
    if (!hasCode(cause, 'UNREACHABLE')) throw cause;
    throw new IdentityError('UNREACHABLE', reasonOf(cause), { about: 'node_endpoints', cause });
  }
}

/** Runs work on this device's identity and secrets, and keeps other processes from changing them meanwhile. */
export async function withDevice<T>(home: Home, work: (device: RenewingDevice) => Promise<T>): Promise<T> {
  const secrets = await openDeviceStore(home);
  try {
    const identity = await DeviceIdentity.load(secrets, nodeCrypto);
    return await work({ identity, secrets, clock: systemClock });
  } finally {
    await secrets.close();
  }
}
