// Changes that an operator makes. A device may be shut out, or lose the role, between the check of its call and the change;
// the last word is in the change itself.

import { type DeviceId, isUlid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { Registry, RegistryTransaction } from './port.ts';
import { mustBeLetIn } from './standing.ts';

/**
 * A change in the name of an operator.
 * @param by a device that has the role, or something on the daemon's own machine.
 * @throws DEVICE_REVOKED, DEVICE_QUARANTINED, CALLER_NOT_ALLOWED when the device may not do this any more, and what
 *   `work` throws. Nothing is changed then.
 */
export function transactBy<T>(
  registry: Registry,
  by: string | undefined,
  work: (tx: RegistryTransaction) => Promise<T>,
): Promise<T> {
  if (by === undefined || !isUlid(by)) return registry.transact(work);
  return registry.transact(async (tx) => {
    const operator = await tx.device(by);
    if (operator) mustBeLetIn(operator);
    if (operator?.role !== 'operator') throw roleMissing(by);
    return work(tx);
  });
}

export function roleMissing(id: DeviceId): IdentityError {
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `Device ${id} does not have the operator role. It is given on the daemon's machine: palyra devices set-role ${id} operator`,
  );
}
