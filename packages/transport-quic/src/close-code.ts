// Our error codes as QUIC application error codes (RFC 9000 20.2), for closing a connection and for resetting a
// stream. The numbers are protocol, docs/quic.md section 2: never reused, and far from the transport's own and from
// TLS alerts, because a library may not tell which kind a number is.

import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { printable } from '@palyra/identity/values';

const base = 0x5041_0000;

/** Only what can end a connection or a stream. Any other code of ours travels as INTERNAL. */
const numbers = {
  CANCELLED: 0x001,
  INTERNAL: 0x002,
  UNREACHABLE: 0x003,

  MESSAGE_INVALID: 0x101,
  MESSAGE_TOO_LARGE: 0x102,
  VERSION_UNSUPPORTED: 0x103,
  CERTIFICATE_INVALID: 0x104,

  CERTIFICATE_MISSING: 0x201,
  CERTIFICATE_UNKNOWN: 0x202,
  CERTIFICATE_REVOKED: 0x203,
  CERTIFICATE_SUPERSEDED: 0x204,
  AUTHORITY_RETIRED: 0x20b,
  CERTIFICATE_EXPIRED: 0x205,
  CERTIFICATE_NOT_YET_VALID: 0x206,
  DEVICE_REVOKED: 0x207,
  CALLER_NOT_ALLOWED: 0x208,
  CLOCK_SKEW: 0x209,
  DEVICE_QUARANTINED: 0x20a,

  RATE_LIMITED: 0x301,
  TOO_MANY_SESSIONS: 0x302,
  TOO_MANY_REQUESTS: 0x303,
} satisfies Partial<Record<IdentityErrorCode | 'CANCELLED', number>>;

/** Why a stream was abandoned. CANCELLED: its caller no longer wants it. */
export type QuicResetReason = keyof typeof numbers;

const reasons = new Map(Object.entries(numbers).map(([reason, n]) => [base + n, reason as QuicResetReason]));

/** The number that means a connection was closed because it is no longer needed. */
export const closedNormally = 0;

/** A reason that survives in one packet beside the rest of the frame. */
export const maxReasonBytes = 256;

/** A stream was abandoned before its end, by the peer or on this side. */
export class QuicStreamReset extends Error {
  readonly reason: QuicResetReason;

  constructor(reason: QuicResetReason) {
    super(reason === 'CANCELLED' ? 'The call was cancelled.' : `The stream was reset: ${reason}.`);
    this.name = 'QuicStreamReset';
    this.reason = reason;
  }
}

export function toCloseNumber(code: IdentityErrorCode | 'CANCELLED'): number {
  return base + (code in numbers ? numbers[code as QuicResetReason] : numbers.INTERNAL);
}

/** What a peer reset a stream with; a number we do not know is INTERNAL. */
export function resetReasonOf(number: number): QuicResetReason {
  return reasons.get(number) ?? 'INTERNAL';
}

/** A close with a number of ours as the error it carries; undefined for any other number. */
export function closeErrorOf(number: number, text: string): IdentityError | undefined {
  const code = reasons.get(number);
  if (code === undefined || code === 'CANCELLED') return undefined;
  return new IdentityError(
    code,
    printable(text.slice(0, maxReasonBytes)) || `The other side closed the connection: ${code}.`,
  );
}

/** The message as the close frame carries it, cut at a character. */
export function toCloseReason(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= maxReasonBytes) return message;
  return bytes
    .subarray(0, maxReasonBytes)
    .toString()
    .replace(/\uFFFD+$/, '');
}
