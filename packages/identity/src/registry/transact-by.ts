// Changes that an operator makes. A device may be shut out, or lose the role, between the check of its call and the change;
// the last word is in the change itself.

import type { Clock } from '../clock.ts';
import { type DeviceId, isUlid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { Registry, RegistryTransaction } from './port.ts';
import { judgeStanding, mustBeLetIn, standingMessages } from './standing.ts';

/**
 * Something on the daemon's own machine, or a device that has the operator role: by its id, or together with the
 * certificate that it showed, which must hold then, too.
 */
export type Actor = string | { readonly deviceId: DeviceId; readonly serial: string };

/** What the audit calls it. */
export function actorName(actor: Actor | undefined): string | undefined {
  return typeof actor === 'object' ? actor.deviceId : actor;
}

/**
 * A change in the name of an operator.
 * @param work its `by` is the actor's name.
 * @throws CALLER_NOT_ALLOWED and the codes of `judgeStanding` when the device may not do this any more, and what `work`
 *   throws. Nothing is changed then.
 */
export function transactBy<T>(
  { registry, clock }: { readonly registry: Registry; readonly clock: Clock },
  actor: Actor | undefined,
  work: (tx: RegistryTransaction, by: string | undefined) => Promise<T>,
): Promise<T> {
  return registry.transact(async (tx) => {
    if (typeof actor === 'object') await mustHold(tx, actor, clock.now());
    else if (actor !== undefined && isUlid(actor)) await mustOperate(tx, actor);
    return work(tx, actorName(actor));
  });
}

async function mustHold(
  tx: RegistryTransaction,
  { deviceId, serial }: Exclude<Actor, string>,
  now: Date,
): Promise<void> {
  const verdict = judgeStanding(await tx.standingBySerial(serial), now.getTime());
  if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
  if (verdict.deviceId !== deviceId || verdict.role !== 'operator') throw roleMissing(deviceId);
}

async function mustOperate(tx: RegistryTransaction, id: DeviceId): Promise<void> {
  const operator = await tx.device(id);
  if (operator) mustBeLetIn(operator);
  if (operator?.role !== 'operator') throw roleMissing(id);
}

export function roleMissing(id: DeviceId): IdentityError {
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `Device ${id} does not have the operator role. It is given on the daemon's machine: palyra devices set-role ${id} operator`,
  );
}
