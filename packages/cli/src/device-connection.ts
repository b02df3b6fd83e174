// How this device reaches its daemon, and with what it makes itself a new certificate.

import { type Dial, quicFirst } from '@palyra/agent';
import { DeviceIdentity, nodeCrypto, type RenewingDevice, systemClock } from '@palyra/identity';
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

/** Works on this device's identity and secrets, which nobody else may change meanwhile. */
export async function withDevice<T>(home: Home, work: (device: RenewingDevice) => Promise<T>): Promise<T> {
  const secrets = await openDeviceStore(home);
  try {
    const identity = await DeviceIdentity.load(secrets, nodeCrypto);
    return await work({ identity, secrets, clock: systemClock });
  } finally {
    await secrets.close();
  }
}
