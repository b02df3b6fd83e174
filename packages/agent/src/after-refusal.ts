// What an agent does about the daemon's answer.

import type { IdentityErrorCode } from '@palyra/identity';

/** The certificate no longer holds, but the device may: its identity key can get it a new one. */
export const recoverable: ReadonlySet<IdentityErrorCode> = new Set([
  // The operator ended the certificate, not the device: whether it comes back is asked of him.
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_SUPERSEDED',
  'AUTHORITY_RETIRED',
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_EXPIRED',
  // The daemon's clock was ahead when it was issued, or is behind now: either way one that holds by its clock is to be had.
  'CERTIFICATE_NOT_YET_VALID',
]);

/** The daemon has decided; asking again changes nothing. */
export const final: ReadonlySet<IdentityErrorCode> = new Set([
  'DEVICE_REVOKED',
  'DEVICE_NOT_FOUND',
  'PROOF_WRONG',
  'CALLER_NOT_ALLOWED',
  // Two agents that take the channel from each other would do so for ever.
  'CHANNEL_REPLACED',
  'CHANNEL_IN_USE',
]);

/** What an agent does when the daemon has answered with this code. */
export function afterRefusal(code: IdentityErrorCode): 'recover' | 'end' | 'retry' {
  if (recoverable.has(code)) return 'recover';
  return final.has(code) ? 'end' : 'retry';
}
