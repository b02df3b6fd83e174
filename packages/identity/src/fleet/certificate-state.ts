// A certificate as the registry has it, and its state machine: a pure function of (state, event).
//
//   issued ──use──> active ──supersede──> superseded
//      └────────────supersede────────────────^
//
//   revoke, end   from every state to revoked, which is final; `end` is of all that a device has, at once

import type { DeviceId, Ulid } from '../device-id.ts';

export type CertificateState = 'issued' | 'active' | 'superseded' | 'revoked';

export interface CertificateRecord {
  /** 32 lower-case hex digits. */
  readonly serial: string;
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  readonly fingerprint: string;
  /** SHA-256 of its SubjectPublicKeyInfo, 32 bytes. No other certificate has this key. */
  readonly keySha256: Uint8Array;
  readonly subject:
    | { readonly kind: 'device'; readonly id: DeviceId }
    | { readonly kind: 'daemon'; readonly id: Ulid };
  readonly state: CertificateState;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The issuing CA's id in `authorities`. */
  readonly issuerId: Ulid;
  readonly der: Uint8Array;
  readonly createdAt: Date;
  /** Whether it was obtained with the identity key alone. */
  readonly recovered: boolean;
  /** When the device was asked to renew it (renewal/plan.ts). */
  readonly renewAt: Date | undefined;
}

export type CertificateEvent =
  /** The device connects with it for the first time. */
  | { readonly type: 'use' }
  /** A newer one is used, or there are too many that were never used. `by`: serial of the newer one. */
  | { readonly type: 'supersede'; readonly by: string | undefined }
  | { readonly type: 'revoke'; readonly reason: string }
  /** Its device was revoked, or has another identity key. */
  | { readonly type: 'end'; readonly reason: string };

/** @returns the state after the event, or undefined for what the diagram does not have. */
export function stepCertificate(
  state: CertificateState,
  event: CertificateEvent['type'],
): CertificateState | undefined {
  switch (event) {
    case 'use':
      return state === 'issued' ? 'active' : undefined;
    case 'supersede':
      return state === 'issued' || state === 'active' ? 'superseded' : undefined;
    case 'revoke':
    case 'end':
      return state === 'revoked' ? undefined : 'revoked';
  }
}
