// Connects this device to its daemon, and supplies its identity and secrets for a renewal.

import { type Dial, quicFirst, webLast } from '@palyra/agent';
import { hasCode, IdentityError } from '@palyra/identity';
import {
  DeviceIdentity,
  type PairedEnrollment,
  type RenewingDevice,
  webEndpoints,
} from '@palyra/identity/device';
import { nodeCrypto, reasonOf, systemClock } from '@palyra/identity/values';
import { type PairingConnection, reachNode, reachPairing } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { dialNodeWeb, reachPairingWeb, type WebDialOptions } from '@palyra/transport-websocket';
import type { Cli } from './cli.ts';
import { openDeviceStore } from './device-store.ts';
import type { Home } from './home.ts';

export type Transport = 'auto' | 'http2' | 'quic' | 'websocket';

/** @param web for channels over WebSockets. */
export function dialBy(transport: Transport, web: WebDialOptions = {}): Dial {
  const http2: Dial = (enrollment) => reachNode(enrollment);
  if (transport === 'http2') return http2;
  const overWeb: Dial = (enrollment) => dialNodeWeb(enrollment, web);
  if (transport === 'websocket') return overWeb;
  const library = createQuic();
  if (transport === 'quic') return (enrollment) => dialNodeQuic(library, enrollment);
  const direct = quicFirst((enrollment, options) => dialNodeQuic(library, enrollment, options), http2);
  return webLast(direct, overWeb);
}

/** The pairing services of a known daemon. @throws as `reachPairing`. */
export function dialRecoveryBy(
  transport: Transport,
  web: WebDialOptions = {},
): (enrollment: PairedEnrollment) => Promise<PairingConnection> {
  const overWeb = (enrollment: PairedEnrollment) => reachPairingWeb(enrollment, web);
  if (transport === 'websocket') return overWeb;
  if (transport !== 'auto') return reachPairing;
  return (enrollment) =>
    reachPairing(enrollment).catch((error) =>
      webEndpoints(enrollment).length === 0
        ? Promise.reject(error)
        : overWeb(enrollment).catch(() => Promise.reject(error)),
    );
}

export const webDialOptions = ({ invocation }: Cli): WebDialOptions => invocation.webProxy;

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
