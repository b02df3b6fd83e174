// Moves a pairing to its next state in the registry, and notifies its watchers.

import type { RegistryTransaction } from '../registry/port.ts';
import { type Pairing, type PairingEvent, step } from './state.ts';

/** @throws PAIRING_STATE_CONFLICT, PAIRING_EXPIRED */
export async function movePairing(
  tx: RegistryTransaction,
  pairing: Pairing,
  event: PairingEvent,
  at: Date,
): Promise<Pairing> {
  const stored = await tx.replacePairing(pairing, step(pairing, event, at));
  tx.emit({ type: 'pairing_changed', pairing: stored });
  return stored;
}
