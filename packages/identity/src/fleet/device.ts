// A device as the registry has it.

import type { DeviceId } from '../device-id.ts';

export type DeviceKind = 'cli' | 'desktop' | 'browser' | 'node';

/** What a device may call: its own service, or also the operator's. */
export type DeviceRole = 'device' | 'operator';

export interface Device {
  readonly id: DeviceId;
  /** Raw Ed25519 public key, 32 bytes. */
  readonly identityKey: Uint8Array;
  readonly name: string;
  readonly kind: DeviceKind;
  readonly platform: string;
  readonly role: DeviceRole;
  /** `approved` until its first certificate is used. `quarantined` until the operator decides. `revoked` is for ever. */
  readonly state: 'approved' | 'active' | 'quarantined' | 'revoked';
  readonly createdAt: Date;
  readonly lastSeenAt: Date | undefined;
  readonly capabilities: readonly string[];
  /** DNS names that the operator lets it have in its certificates (host-names.ts). */
  readonly hostNames: readonly string[];
  /** The operator's words, when revoked. */
  readonly revocationReason: string | undefined;
  /** When it was last reported as possibly copied (cloning.ts); undefined after the operator's release. */
  readonly cloneSeenAt: Date | undefined;
  /** Kept when the operator releases the device. */
  readonly cloneReportedAt: Date | undefined;
  /**
   * When the operator last ended one of its certificates, or a restore one of a key that it had before: recoveries are asked
   * for since. Undefined again once it recovered with the operator's release, or was paired again.
   */
  readonly certificateRevokedAt: Date | undefined;
  /** When it first asked for a recovery that only the operator can allow; undefined again once that is decided. */
  readonly recoveryAskedAt: Date | undefined;
  /** When the operator allowed that; undefined again once it is used. */
  readonly recoveryReleasedAt: Date | undefined;
}

/**
 * What makes a device look copied: a replaced certificate was used again, it recovered though its certificate holds, or
 * another agent connected while the one that is connected answers.
 */
export type CloneSign = 'replaced_certificate' | 'recovery' | 'second_agent';
