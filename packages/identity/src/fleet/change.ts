// The only writer of devices and certificates: it writes the row and its consequences (consequences.ts) in one change of
// the registry. A test finds other writers.

import { endWithDeviceAfterMs } from '../audit/audited-facts.ts';
import type { DeviceId } from '../device-id.ts';
import { endForRevocation } from '../pairing/endings.ts';
import type { RegistryTransaction } from '../registry/port.ts';
import { type CertificateEvent, type CertificateRecord, stepCertificate } from './certificate-state.ts';
import {
  auditOfDevice,
  auditOfNewCertificate,
  type Cause,
  type CertificateOrigin,
  consequencesOfCertificate,
  endOfCertificates,
  eventsOfDevice,
  firstState,
  revokesDevice,
} from './consequences.ts';
import type { Device } from './device.ts';
import { type DeviceEvent, stepDevice } from './device-state.ts';

export type { Cause, CertificateOrigin } from './consequences.ts';

/** Certificates read in one page. */
const endedAtOnce = 1000;

/**
 * @param before as this change reads it; undefined for a device that the registry does not have.
 * @returns the device as it is now.
 * @throws the codes of `stepDevice`.
 */
export async function changeDevice(
  tx: RegistryTransaction,
  before: Device | undefined,
  event: DeviceEvent,
  cause: Cause,
): Promise<Device> {
  const { at } = cause;
  const after = stepDevice(before, event, at);
  if (after === before) return before;
  const change = { before, after, event, cause };
  if (before) await tx.updateDevice(after, before);
  else await tx.insertDevice(after);
  for (const row of auditOfDevice(change)) await tx.appendAudit({ at, ...row });
  for (const each of eventsOfDevice(change)) tx.emit(each);
  const reason = endOfCertificates(change);
  if (reason === undefined) return after;
  const isRevoked = revokesDevice(change);
  if (isRevoked) {
    await tx.insertRevocation({ at, deviceId: after.id, serial: undefined, reason });
    await endForRevocation(tx, after.id, reason, cause);
  }
  for (const serial of await endCertificates(tx, after.id, reason, cause))
    if (!isRevoked) tx.emit({ type: 'certificate_revoked', serial, deviceId: after.id });
  return after;
}

/**
 * @param certificate of a device, as this change reads it.
 * @returns whether it has changed; false when its state does not allow the event, or has changed in the meantime.
 */
export async function changeCertificate(
  tx: RegistryTransaction,
  certificate: Pick<CertificateRecord, 'serial' | 'state' | 'subject'>,
  event: CertificateEvent,
  cause: Cause,
): Promise<boolean> {
  const { serial, state, subject } = certificate;
  if (subject.kind !== 'device') throw new TypeError('the certificate of a daemon does not change');
  const next = stepCertificate(state, event.type);
  if (!next || !(await tx.moveCertificate(serial, state, next))) return false;
  const { at } = cause;
  if ('reason' in event)
    await tx.insertRevocation({ at, deviceId: subject.id, serial, reason: event.reason });
  const told = consequencesOfCertificate(certificate, event, cause);
  if (told.row) await tx.appendAudit({ at, ...told.row });
  if (told.event) tx.emit(told.event);
  return true;
}

/**
 * Moves the planned renewal of a certificate, and tells the device's channel.
 * @param certificate of a device, in state `issued` or `active`, as this change reads it.
 * @param renewAt a certificate that is planned for an earlier time keeps that time.
 * @returns whether the time has moved.
 */
export async function askForRenewal(
  tx: RegistryTransaction,
  certificate: Pick<CertificateRecord, 'serial' | 'subject' | 'renewAt'>,
  renewAt: Date,
  { at, by }: Cause,
): Promise<boolean> {
  const { serial, subject } = certificate;
  if (subject.kind !== 'device') throw new TypeError('a daemon replaces its own certificate');
  const planned = certificate.renewAt !== undefined && certificate.renewAt <= renewAt;
  const next = planned ? certificate.renewAt : renewAt;
  if (!planned) await tx.planRenewal(serial, next);
  const detail = { device: subject.id, renew_at: next.getTime(), ...(by && { by }) };
  await tx.appendAudit({ at, action: 'certificate.renewal_asked', subject: serial, detail });
  tx.emit({ type: 'renewal_asked', deviceId: subject.id, serial, renewAt: next });
  return !planned;
}

/** @throws KEY_IN_USE when another certificate has its key. */
export async function addCertificate(
  tx: RegistryTransaction,
  made: Omit<CertificateRecord, 'state'>,
  origin: CertificateOrigin,
  at: Date,
): Promise<void> {
  const certificate: CertificateRecord = { ...made, state: firstState[origin.type] };
  await tx.insertCertificate(certificate);
  if (origin.type === 'restore') {
    const { revokedAt, reason } = origin;
    const { serial, subject } = certificate;
    await tx.insertRevocation({ at: revokedAt, deviceId: subject.id, serial, reason });
  }
  await tx.appendAudit({ at, ...auditOfNewCertificate(certificate, origin) });
}

/**
 * Also ends replaced certificates that have not expired, because programs that use the revocation list would accept
 * them.
 * @returns their serials.
 */
async function endCertificates(
  tx: RegistryTransaction,
  deviceId: DeviceId,
  reason: string,
  cause: Cause,
): Promise<string[]> {
  const serials: string[] = [];
  const now = new Date(endWithDeviceAfterMs(cause.at.getTime()));
  for (;;) {
    const page = await tx.revocableCertificates({ deviceId, now, limit: endedAtOnce });
    for (const certificate of page) {
      await changeCertificate(tx, certificate, { type: 'end', reason }, cause);
      serials.push(certificate.serial);
    }
    if (page.length < endedAtOnce) return serials;
  }
}
