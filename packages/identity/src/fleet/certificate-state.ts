// A certificate as the registry has it.

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
  /** Obtained by the identity key alone. */
  readonly recovered: boolean;
  /** When the device was asked to renew it (renewal/plan.ts). */
  readonly renewAt: Date | undefined;
}
