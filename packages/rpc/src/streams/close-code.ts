// Our error codes as numbers, for closing a connection and for resetting a stream; over QUIC they are application error
// codes (RFC 9000 20.2). The numbers are protocol, docs/quic.md section 2: never reused, and far from the transport's own and from
// TLS alerts, because a library may not tell which kind a number is.

import { type ErrorFamily, errorCodes, familyOf } from '@palyra/identity/errors';
import { IdentityError, type IdentityErrorCode, printable } from '@palyra/identity/portable';

const base = 0x5041_0000;

/** The first digit of a number is the family of its code. */
const byFamily: Readonly<Partial<Record<ErrorFamily, number>>> = {
  internal: 0x000,
  unreachable: 0x000,
  store: 0x000,
  invalid: 0x100,
  unauthenticated: 0x200,
  refused: 0x200,
  limit: 0x300,
};

/** Numbers within a family, for codes that can end a connection or a stream. Any other code of ours travels as INTERNAL. */
const inFamily = {
  INTERNAL: 0x02,
  UNREACHABLE: 0x03,
  STORE_UNREACHABLE: 0x04,

  MESSAGE_INVALID: 0x01,
  MESSAGE_TOO_LARGE: 0x02,
  VERSION_UNSUPPORTED: 0x03,
  CERTIFICATE_INVALID: 0x04,

  CERTIFICATE_MISSING: 0x01,
  CERTIFICATE_UNKNOWN: 0x02,
  CERTIFICATE_REVOKED: 0x03,
  CERTIFICATE_SUPERSEDED: 0x04,
  CERTIFICATE_EXPIRED: 0x05,
  CERTIFICATE_NOT_YET_VALID: 0x06,
  DEVICE_REVOKED: 0x07,
  CALLER_NOT_ALLOWED: 0x08,
  CLOCK_SKEW: 0x09,
  DEVICE_QUARANTINED: 0x0a,
  AUTHORITY_RETIRED: 0x0b,

  RATE_LIMITED: 0x01,
  TOO_MANY_SESSIONS: 0x02,
  TOO_MANY_REQUESTS: 0x03,
} satisfies Partial<Record<IdentityErrorCode, number>>;

type ClosingCode = keyof typeof inFamily;

/** Why a stream was abandoned. CANCELLED: the caller no longer needs the stream. */
export type ResetReason = ClosingCode | 'CANCELLED';

const cancelled = base + 0x001;

/** Every number of docs/quic.md section 2, with its code. */
export const closeNumbers: ReadonlyMap<number, ResetReason> = new Map([
  [cancelled, 'CANCELLED'],
  ...errorCodes.filter(endsConnections).map((code) => [numberOf(code), code] as const),
]);

function endsConnections(code: IdentityErrorCode): code is ClosingCode {
  return code in inFamily;
}

function numberOf(code: ClosingCode): number {
  return base + (byFamily[familyOf(code)] ?? 0) + inFamily[code];
}

/** The number that means a connection was closed because it is no longer needed. */
export const closedNormally = 0;

/** The longest reason that fits into one packet with the rest of the frame. */
export const maxReasonBytes = 256;

/** A stream was abandoned before its end, by the peer or on this side. */
export class StreamReset extends Error {
  readonly reason: ResetReason;

  constructor(reason: ResetReason) {
    super(reason === 'CANCELLED' ? 'The call was cancelled.' : `The stream was reset: ${reason}.`);
    this.name = 'StreamReset';
    this.reason = reason;
  }
}

export function toCloseNumber(code: IdentityErrorCode | 'CANCELLED'): number {
  if (code === 'CANCELLED') return cancelled;
  return numberOf(endsConnections(code) ? code : 'INTERNAL');
}

/** The reason of a peer's reset. An unknown number becomes INTERNAL. */
export function resetReasonOf(number: number): ResetReason {
  return closeNumbers.get(number) ?? 'INTERNAL';
}

/** The error of a close with one of our numbers; undefined for any other number. */
export function closeErrorOf(number: number, text: string): IdentityError | undefined {
  const code = closeNumbers.get(number);
  if (code === undefined || code === 'CANCELLED') return undefined;
  return new IdentityError(
    code,
    printable(text.slice(0, maxReasonBytes)) || `The other side closed the connection: ${code}.`,
  );
}

/** The message for the close frame, cut between characters. */
export function toCloseReason(message: string): string {
  const bytes = new TextEncoder().encode(message);
  if (bytes.length <= maxReasonBytes) return message;
  return new TextDecoder().decode(bytes.subarray(0, maxReasonBytes)).replace(/\uFFFD+$/, '');
}
