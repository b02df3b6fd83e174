// Changes by an operator. A device may be revoked, or lose the role, between the check of its call and the change, so
// the change checks again.

import type { Clock } from '../clock.ts';
import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { type Actor, type ActorName, actorName } from './actor.ts';
import type { Registry, RegistryTransaction } from './port.ts';
import { judgeStanding, standingMessages } from './standing.ts';

/**
 * Makes a change for an operator.
 * @param work its `by` is the actor's name.
 * @throws CALLER_NOT_ALLOWED and the codes of `judgeStanding` if the device has lost its rights; errors of `work`.
 *   Nothing
 *   is changed then.
 */
export function transactBy<T>(
  { registry, clock }: { readonly registry: Registry; readonly clock: Clock },
  actor: Actor | undefined,
  work: (tx: RegistryTransaction, by: ActorName | undefined) => Promise<T>,
): Promise<T> {
  return registry.transact(async (tx) => {
    if (actor?.kind === 'device') await requireOperator(tx, actor, clock.now());
    return work(tx, actor && actorName(actor));
  });
}

async function requireOperator(
  tx: RegistryTransaction,
  { deviceId, serial }: Extract<Actor, { kind: 'device' }>,
  now: Date,
): Promise<void> {
  const verdict = judgeStanding(await tx.standingBySerial(serial), now.getTime());
  if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
  if (verdict.deviceId !== deviceId || verdict.role !== 'operator') throw roleMissing(deviceId);
}

export function roleMissing(id: DeviceId): IdentityError {
  return new IdentityError('CALLER_NOT_ALLOWED', `Device ${id} does not have the operator role.`, {
    about: 'operator_role',
    deviceId: id,
  });
}
