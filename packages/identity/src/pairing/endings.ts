// How a pairing ends without a device: by the operator, by time, by guesses, or by a restore.

import type { AuditAction } from '../audit/entry.ts';
import type { Clock } from '../clock.ts';
import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { Cause } from '../fleet/consequences.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { movePairing } from './change.ts';
import { isDue, type Pairing, type PairingState } from './state.ts';

export interface EndingsOptions {
  readonly registry: Registry;
  readonly clock: Clock;
}

type Ending = { readonly type: 'reject' | 'withdraw' | 'revoke' | 'restore'; readonly reason: string };

/** Whether a pairing in this state can still lead to a certificate. */
const isUndecided: Readonly<Record<PairingState, boolean>> = {
  waiting: true,
  pending_approval: true,
  approved: true,
  issued: false,
  active: false,
  rejected: false,
  expired: false,
  exhausted: false,
};
const undecidedStates = (Object.keys(isUndecided) as PairingState[]).filter((state) => isUndecided[state]);
const endedAtOnce = 100;

/** Ends a code or a request by a decision. @throws PAIRING_STATE_CONFLICT, PAIRING_EXPIRED */
export async function endPairing(
  tx: RegistryTransaction,
  pairing: Pairing,
  event: Ending,
  { at, by }: Cause,
): Promise<Pairing> {
  const stored = await movePairing(tx, pairing, event, at);
  await tx.appendAudit({
    at,
    action: pairing.state === 'waiting' ? 'code.withdrawn' : 'request.rejected',
    subject: pairing.id,
    detail: { reason: event.reason, ...(by && { by }) },
  });
  return stored;
}

/** Ends the requests of a revoked device, except those that have already expired. */
export async function endForRevocation(
  tx: RegistryTransaction,
  deviceId: DeviceId,
  reason: string,
  cause: Cause,
): Promise<void> {
  for (const pairing of await tx.openRequestsOf(deviceId)) {
    if (!isDue(pairing, cause.at)) await endPairing(tx, pairing, { type: 'revoke', reason }, cause);
  }
}

/**
 * Ends every code and request, for a registry that was put back to an earlier time. A code may have been used or withdrawn
 * since, and a request decided, so their devices pair again.
 * @returns the number.
 */
export async function endForRestore({ registry, clock }: EndingsOptions): Promise<number> {
  const at = clock.now();
  await expireDue({ registry, clock });
  let count = 0;
  for (;;) {
    const open = await registry.pairings({ states: undecidedStates, limit: endedAtOnce });
    if (open.length === 0) return count;
    for (const pairing of open) {
      const event = { type: 'restore', reason: 'the daemon was restored from a backup' } as const;
      await registry.transact((tx) => endPairing(tx, pairing, event, { at }));
      count += 1;
    }
  }
}

/** Records expired codes and requests. @returns the number. */
export async function expireDue({ registry, clock }: EndingsOptions): Promise<number> {
  let count = 0;
  for (;;) {
    const due = await registry.duePairings(clock.now(), endedAtOnce);
    if (due.length === 0) return count;
    for (const { id } of due) count += (await expire({ registry, clock }, id)) ? 1 : 0;
  }
}

async function expire({ registry, clock }: EndingsOptions, id: string): Promise<boolean> {
  const now = clock.now();
  return registry.transact(async (tx) => {
    const pairing = await existing(tx, id);
    if (!isDue(pairing, now)) return false;
    const action = pairing.state === 'waiting' ? 'code.expired' : 'request.expired';
    await endByItself(tx, pairing, { type: 'expire' }, now, action);
    return true;
  });
}

/** Ends a code whose guesses are used up, once no handshake is left that could still confirm. */
export async function exhaust({ registry, clock }: EndingsOptions, id: string): Promise<void> {
  const now = clock.now();
  await registry.transact(async (tx) => {
    const pairing = await existing(tx, id);
    if (pairing.state !== 'waiting' || pairing.guessesLeft > 0 || isDue(pairing, now)) return;
    await endByItself(tx, pairing, { type: 'exhaust' }, now, 'code.exhausted');
  });
}

async function endByItself(
  tx: RegistryTransaction,
  pairing: Pairing,
  event: { readonly type: 'expire' } | { readonly type: 'exhaust' },
  at: Date,
  action: AuditAction,
): Promise<void> {
  await movePairing(tx, pairing, event, at);
  await tx.appendAudit({ at, action, subject: pairing.id, detail: { guesses: pairing.guessesTaken } });
}

/** @throws PAIRING_NOT_FOUND */
export async function existing(tx: RegistryTransaction, id: string): Promise<Pairing> {
  const pairing = await tx.pairing(id);
  if (!pairing) {
    throw new IdentityError('PAIRING_NOT_FOUND', `There is no pairing ${id}.`, { pairingId: id });
  }
  return pairing;
}
