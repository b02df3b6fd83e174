// Decides whether a code that was made with `autoApprove` lets its device in without a question. The decision of that time must
// still count, and nothing about the device may wait for the operator.

import type { DeviceId, Ulid } from '../device-id.ts';
import { isShutOut, isWatched } from '../fleet/device.ts';
import { type ActorName, deviceNamed } from '../registry/actor.ts';
import type { RegistryReads } from '../registry/port.ts';
import { sameBytes } from '../same-bytes.ts';
import type { Pairing } from './state.ts';

/** @returns who decided, for the audit; undefined when the operator is to be asked all the same. */
export async function autoApprover(reads: RegistryReads, pairing: Pairing): Promise<ActorName | undefined> {
  const { autoApprovedBy: by } = pairing;
  if (by === undefined || pairing.state !== 'pending_approval') return undefined;
  const decider = deviceNamed(by);
  if (decider && !(await mayStillDecide(reads, decider, pairing.id))) return undefined;
  const { request } = pairing;
  const known = await reads.device(request.deviceId);
  if (!known) return by;
  const isOrdinary = known.role === 'device' && !isShutOut(known) && !isWatched(known);
  return isOrdinary && sameBytes(known.identityKey, request.identityKey) ? by : undefined;
}

/**
 * Whether the decision of a device that was an operator when it made this code still counts. It was made with one key, one
 * certificate and one grant of the role. Whatever ends one of them ends the decision.
 */
async function mayStillDecide(reads: RegistryReads, deviceId: DeviceId, pairingId: Ulid): Promise<boolean> {
  const device = await reads.device(deviceId);
  if (!device || isShutOut(device) || device.role !== 'operator') return false;
  if (device.cloneSeenAt || device.certificateRevokedAt) return false;
  const [minted] = await reads.audit({ subject: pairingId, action: 'code.minted', limit: 1 });
  const { certificate: serial }: { certificate?: string } = JSON.parse(minted?.detailJson ?? '{}');
  const certificate = serial === undefined ? undefined : await reads.certificate({ serial });
  if (!minted || !certificate || certificate.state === 'revoked') return false;
  for (const action of ['device.identity_key_replaced', 'device.role_changed'] as const) {
    const [last] = await reads.audit({ subject: deviceId, action, limit: 1 });
    if (last && last.seq > minted.seq) return false;
  }
  return true;
}
