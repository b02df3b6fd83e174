// A device as the registry has it, from its approval to its revocation. A union by state: each state has only its own
// fields. `stepDevice` (device-state.ts) is the only way from one to the next.
//
//   unknown ──approve──> approved ────────use────────> active
//                         │    ^                        │ │ ^
//                         │    └─approve, another key───┘ │ │
//                         └─suspect─> quarantined <─suspect │
//                                           └──────release──┘
//
//   revoke         from every state to revoked, which is final
//   revoke_again   like revoke, and also from unknown
//   restore        from every state to the stricter of two; from unknown to the state without certificates
//
// `suspect` changes the state if the daemon is configured to quarantine. All other events leave the state unchanged.
// An event that a state does not allow is DEVICE_NOT_FOUND, DEVICE_QUARANTINED, DEVICE_REVOKED or IDENTITY_KEY_CHANGED.

import type { DeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';

export type DeviceKind = 'cli' | 'desktop' | 'browser' | 'node';

/** The services that a device may call: its own, or also the operator's. */
export type DeviceRole = 'device' | 'operator';

/** The fields of every device. */
export interface DeviceBase {
  readonly id: DeviceId;
  /** Raw Ed25519 public key, 32 bytes. Empty for a device that is revoked by its id alone. */
  readonly identityKey: Uint8Array;
  readonly name: string;
  readonly kind: DeviceKind;
  readonly platform: string;
  readonly role: DeviceRole;
  readonly createdAt: Date;
  readonly lastSeenAt: Date | undefined;
  readonly capabilities: readonly string[];
  /** DNS names that the operator lets the device have in its certificates (host-names.ts). */
  readonly hostNames: readonly string[];
  /** The operator's words for the device (labels.ts). */
  readonly labels: readonly string[];
}

/** The facts about a device that can still come back. */
interface Suspicions {
  /** When the device was last reported as possibly copied (clones.ts); undefined after the operator's release. */
  readonly cloneSeenAt: Date | undefined;
  /** Like `cloneSeenAt`, but kept when the operator releases the device. */
  readonly cloneReportedAt: Date | undefined;
  /**
   * When the operator last revoked one of the device's certificates, or a restore replaced its key. Since then the
   * device recovers only with the operator's release. Undefined again after such a recovery, or a new pairing.
   */
  readonly certificateRevokedAt: Date | undefined;
}

/** The device asked for a recovery that only the operator can allow. */
export interface AskedRecovery {
  readonly state: 'asked';
  readonly at: Date;
}

/** The operator allowed one recovery, and the device has not used it yet. */
export interface ReleasedRecovery {
  readonly state: 'released';
  readonly at: Date;
}

/** A device that may connect: `approved` until it first uses a certificate, then `active`. */
export type AdmittedDevice = DeviceBase &
  Suspicions & {
    readonly state: 'approved' | 'active';
    readonly recovery: AskedRecovery | ReleasedRecovery | undefined;
  };

/** A device that may be a copy. It stays out until the operator decides. */
export type QuarantinedDevice = DeviceBase &
  Suspicions & {
    readonly state: 'quarantined';
    readonly recovery: AskedRecovery | undefined;
  };

export type RevokedDevice = DeviceBase & {
  readonly state: 'revoked';
  /** The operator's words. */
  readonly revocationReason: string;
};

export type Device = AdmittedDevice | QuarantinedDevice | RevokedDevice;

export type DeviceState = Device['state'];

/** The fields that a device keeps in every state. */
export function baseOf(device: Device): DeviceBase {
  const { id, identityKey, name, kind, platform, role, createdAt, lastSeenAt } = device;
  const { capabilities, hostNames, labels } = device;
  const about = { id, identityKey, name, kind, platform, role, createdAt, lastSeenAt };
  return { ...about, capabilities, hostNames, labels };
}

export function isShutOut(device: Device): device is QuarantinedDevice | RevokedDevice {
  return device.state === 'quarantined' || device.state === 'revoked';
}

/** Whether something about the device waits for the operator, or may not be forgotten. */
export function isWatched(device: Device): boolean {
  if (device.state === 'revoked') return false;
  const { cloneSeenAt, certificateRevokedAt, recovery } = device;
  return Boolean(cloneSeenAt || certificateRevokedAt || recovery?.state === 'asked');
}

/**
 * The signs of a copied device: a replaced certificate was used again, the device recovered although its certificate is valid, or
 * another agent connected while the connected one still answers.
 */
export type CloneSign = 'replaced_certificate' | 'recovery' | 'second_agent';

export function deviceNotFound(id: string): IdentityError {
  return new IdentityError('DEVICE_NOT_FOUND', `There is no device ${id}.`, { deviceId: id });
}
