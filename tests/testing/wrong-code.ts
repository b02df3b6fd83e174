// Codes that differ slightly from a valid code.

import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';

/** The same slot with another PIN. */
export function wrongPin(code: string): PairingCode {
  const [slot, pin] = code.split('-') as [string, string];
  return parsePairingCode(slot + String((Number(pin) + 1) % 1_000_000).padStart(6, '0'));
}
