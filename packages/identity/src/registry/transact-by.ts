// Changes that an operator makes. A device may be shut out, or lose the role, between the check of its call and the change;
// the last word is in the change itself.

import type { Clock } from '../clock.ts';
import { type DeviceId, isUlid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { Registry, RegistryTransaction } from './port.ts';
import { judgeStanding, standingMessages } from './standing.ts';

/** A place on the daemon's own machine, in a word, or a device with the certificate that it showed. */
export type Actor = string | { readonly deviceId: DeviceId; readonly serial: string };

/** What the audit calls it. @throws TypeError for a device without its certificate: nothing of it could be checked. */
export function actorName(actor: Actor | undefined): string | undefined {
  if (typeof actor === 'object') return actor.deviceId;
  if (actor !== undefined && isUlid(actor)) throw new TypeError('a device acts with its certificate');
  return actor;
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
    if (typeof actor === 'object') await mustOperate(tx, actor, clock.now());
    return work(tx, actorName(actor));
  });
}

async function mustOperate(
  tx: RegistryTransaction,
  { deviceId, serial }: Exclude<Actor, string>,
  now: Date,
): Promise<void> {
  const verdict = judgeStanding(await tx.standingBySerial(serial), now.getTime());
  if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
  if (verdict.deviceId !== deviceId || verdict.role !== 'operator') throw roleMissing(deviceId);
}

export function roleMissing(id: DeviceId): IdentityError {
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `Device ${id} does not have the operator role. It is given on the daemon's machine: palyra devices set-role ${id} operator`,
  );
}
