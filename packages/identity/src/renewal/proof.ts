// The bytes that a device signs for a new certificate (docs/pairing.md, "Renewal" and "Recovery"), for both sides.

import { lvCat } from '../lv.ts';

/**
 * Renewal: over a mutual TLS connection. The serial names the renewed certificate.
 * @param tlsKey the new key, SPKI DER.
 */
export function renewalInput(deviceId: string, serial: string, tlsKey: Uint8Array): Uint8Array {
  return lvCat('palyra-renewal-v2', deviceId, serial, tlsKey);
}

/** Recovery: bound to this TLS channel and to a single-use challenge. */
export function recoveryInput(
  channelBinding: Uint8Array,
  challenge: Uint8Array,
  deviceId: string,
  tlsKey: Uint8Array,
): Uint8Array {
  return lvCat('palyra-recovery-v2', channelBinding, challenge, deviceId, tlsKey);
}
