// Pairings for the tests of the watch.

import { Continuity, DeviceKind, DeviceRole, PairingState } from '@palyra/rpc/admin';
import type { Pairing } from '../../admin.ts';

/** A request whose id, words and device end in the number. */
export function sampleRequest(
  number: number,
  changes: Partial<NonNullable<Pairing['device']>> = {},
): Pairing {
  return {
    $typeName: 'palyra.admin.v1.Pairing',
    id: `01KAT0PPPPC4T7T1JQ5ZABCDE${number}`,
    state: PairingState.PENDING_APPROVAL,
    slot: '123',
    createdAtMs: 0n,
    expiresAtMs: 3_600_000n,
    guessesLeft: 2,
    failedGuesses: 0,
    reason: '',
    serial: '',
    autoApprove: false,
    device: {
      $typeName: 'palyra.admin.v1.PairingDevice',
      deviceId: `01KAT0MZP8C4T7T1JQ5Z7K3QX${number}`,
      name: `laptop ${number}`,
      kind: DeviceKind.CLI,
      platform: 'linux-x64 node-24.21',
      identityFingerprint: 'ab'.repeat(32),
      words: `apple bear cat${number}`,
      source: '192.168.1.9',
      continuity: Continuity.NEW,
      role: DeviceRole.UNSPECIFIED,
      knownName: '',
      ...changes,
    },
  };
}

export function sampleCode(slot: string, changes: Partial<Pairing> = {}): Pairing {
  const { device: _, ...code } = sampleRequest(0);
  return {
    ...code,
    id: `code ${slot}`,
    state: PairingState.WAITING,
    slot,
    guessesLeft: 3,
    expiresAtMs: 600_000n,
    ...changes,
  };
}
