// Decides whether the holder of this certificate may talk to the daemon now. The same decision serves every connection,
// every call, and the operator who asks for the reason.

import type { DeviceId, Ulid } from '../device-id.ts';
import { IdentityError, type IdentityErrorCode } from '../errors.ts';
import type { AdmittedDevice, Device, DeviceRole } from '../fleet/device.ts';
import type { CertificateStanding } from './port.ts';

export type StandingCode = Extract<
  IdentityErrorCode,
  | 'CERTIFICATE_UNKNOWN'
  | 'CERTIFICATE_REVOKED'
  | 'CERTIFICATE_SUPERSEDED'
  | 'AUTHORITY_RETIRED'
  | 'CERTIFICATE_EXPIRED'
  | 'CERTIFICATE_NOT_YET_VALID'
  | 'DEVICE_REVOKED'
  | 'DEVICE_QUARANTINED'
>;

export type StandingVerdict =
  | {
      readonly ok: true;
      readonly deviceId: DeviceId;
      readonly name: string;
      readonly role: DeviceRole;
      readonly serial: string;
      readonly notAfterMs: number;
      readonly renewAtMs: number | undefined;
      readonly issuerId: Ulid;
      readonly firstUse: boolean;
    }
  | { readonly ok: false; readonly code: StandingCode };

/**
 * Denies by default: only a known, valid certificate of a daemon of this authority passes.
 * @throws CERTIFICATE_UNKNOWN, CERTIFICATE_REVOKED, CERTIFICATE_SUPERSEDED, AUTHORITY_RETIRED, CERTIFICATE_EXPIRED,
 *   CERTIFICATE_NOT_YET_VALID
 */
export function mustBeDaemon(standing: CertificateStanding | undefined, nowMs: number): void {
  const code = standing?.subjectKind === 'daemon' ? faultOf(standing, nowMs) : 'CERTIFICATE_UNKNOWN';
  if (code) throw new IdentityError(code, standingMessages[code]);
}

/** Why a certificate is not valid now, whoever has it. */
function faultOf(standing: CertificateStanding, nowMs: number): StandingCode | undefined {
  if (standing.certificateState === 'revoked') return 'CERTIFICATE_REVOKED';
  if (standing.certificateState === 'superseded') return 'CERTIFICATE_SUPERSEDED';
  if (standing.issuerState === 'retired') return 'AUTHORITY_RETIRED';
  if (nowMs >= standing.notAfterMs) return 'CERTIFICATE_EXPIRED';
  if (nowMs < standing.notBeforeMs) return 'CERTIFICATE_NOT_YET_VALID';
  return undefined;
}

/** Denies by default: only a known, valid certificate of an admitted device passes. */
export function judgeStanding(standing: CertificateStanding | undefined, nowMs: number): StandingVerdict {
  if (standing?.subjectKind !== 'device') return { ok: false, code: 'CERTIFICATE_UNKNOWN' };
  if (standing.deviceState === 'revoked') return { ok: false, code: 'DEVICE_REVOKED' };
  if (standing.deviceState === 'quarantined') return { ok: false, code: 'DEVICE_QUARANTINED' };
  const fault = faultOf(standing, nowMs);
  if (fault) return { ok: false, code: fault };
  const { deviceState, deviceRole, deviceName } = standing;
  if (deviceState === undefined || deviceRole === undefined || deviceName === undefined)
    return { ok: false, code: 'CERTIFICATE_UNKNOWN' };
  return {
    ok: true,
    deviceId: standing.subjectId,
    name: deviceName,
    role: deviceRole,
    serial: standing.serial,
    notAfterMs: standing.notAfterMs,
    renewAtMs: standing.renewAtMs,
    issuerId: standing.issuerId,
    firstUse: standing.certificateState === 'issued',
  };
}

/** The messages for a refused peer and the operator. */
export const standingMessages: Readonly<Record<StandingCode, string>> = {
  CERTIFICATE_UNKNOWN: 'This certificate was not issued by this daemon.',
  CERTIFICATE_REVOKED: 'This certificate was revoked by the operator.',
  CERTIFICATE_SUPERSEDED: 'This certificate was replaced by a newer one.',
  AUTHORITY_RETIRED: 'The root behind this certificate was retired.',
  CERTIFICATE_EXPIRED: 'This certificate has expired.',
  CERTIFICATE_NOT_YET_VALID:
    "This certificate is not valid yet: the daemon's clock is behind, or was ahead when it was issued. Compare the clocks of daemon and device.",
  DEVICE_REVOKED: 'This device was revoked by the operator.',
  DEVICE_QUARANTINED: 'This device is quarantined, because there may be a copy of it. The operator decides.',
};

/** The message for a device that was revoked, with the operator's reason. */
export function revokedMessage(reason: string): string {
  return `${standingMessages.DEVICE_REVOKED}${reason && ` Reason: ${reason}`}`;
}

/** @param reason the operator's words, for the device to show. */
export function deviceRevoked(id: string, reason: string): IdentityError {
  const why = reason && ` Reason: ${reason}`;
  return new IdentityError('DEVICE_REVOKED', `Device ${id} was revoked permanently.${why}`, { deviceId: id });
}

export function deviceQuarantined(id: string): IdentityError {
  return new IdentityError('DEVICE_QUARANTINED', standingMessages.DEVICE_QUARANTINED, { deviceId: id });
}

/** @throws DEVICE_REVOKED, DEVICE_QUARANTINED */
export function mustBeLetIn(device: Device): asserts device is AdmittedDevice {
  if (device.state === 'revoked') throw deviceRevoked(device.id, device.revocationReason);
  if (device.state === 'quarantined') throw deviceQuarantined(device.id);
}
