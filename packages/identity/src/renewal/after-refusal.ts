// The reaction of a device to an error of the daemon.

import type { IdentityErrorCode } from '../errors.ts';

/** The certificate is no longer valid, but the device may recover: it gets a new one with its identity key. */
export const recoverable: ReadonlySet<IdentityErrorCode> = new Set([
  // The operator revoked the certificate, not the device. The operator decides whether the device recovers.
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_SUPERSEDED',
  'AUTHORITY_RETIRED',
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_EXPIRED',
  // The daemon's clock was ahead at the issue, or is behind now. Either way, a new certificate is valid by that clock.
  'CERTIFICATE_NOT_YET_VALID',
]);

/** The daemon has decided, and a retry does not help. */
export const final: ReadonlySet<IdentityErrorCode> = new Set([
  'DEVICE_REVOKED',
  'DEVICE_NOT_FOUND',
  'PROOF_WRONG',
  'CALLER_NOT_ALLOWED',
  // Two agents would otherwise take the channel from each other for ever.
  'CHANNEL_REPLACED',
  'CHANNEL_IN_USE',
]);

/** The reaction to this code. */
export function afterRefusal(code: IdentityErrorCode): 'recover' | 'end' | 'retry' {
  if (recoverable.has(code)) return 'recover';
  return final.has(code) ? 'end' : 'retry';
}
