// IdentityError to the wire and back. The stable code travels as a typed detail; the gRPC code follows its family.

import { create, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { printable, reasonOf } from '@palyra/identity/values';
import { checkHeaderFields } from './calls/header-fields.ts';
import { ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';

/** Characters of a text that is sent. Encoded, with our details, it is less than the 8 KiB of headers that gRPC clients of Java take. */
const maxTextLength = 500;

const grpcCodes: Readonly<Record<IdentityErrorCode, Code>> = {
  MESSAGE_INVALID: Code.InvalidArgument,
  MESSAGE_TOO_LARGE: Code.ResourceExhausted,
  VERSION_UNSUPPORTED: Code.FailedPrecondition,
  CODE_MALFORMED: Code.InvalidArgument,
  DEVICE_ID_INVALID: Code.InvalidArgument,
  PASSPHRASE_WEAK: Code.InvalidArgument,
  CERTIFICATE_INVALID: Code.InvalidArgument,
  SERVICE_INVALID: Code.InvalidArgument,

  PAIRING_CODE_WRONG: Code.PermissionDenied,
  TOO_MANY_TRIES: Code.PermissionDenied,
  DAEMON_NOT_AUTHENTICATED: Code.Unauthenticated,
  ROOT_MISMATCH: Code.Unauthenticated,
  CERTIFICATE_MISSING: Code.Unauthenticated,
  CERTIFICATE_UNKNOWN: Code.Unauthenticated,
  CERTIFICATE_REVOKED: Code.Unauthenticated,
  CERTIFICATE_SUPERSEDED: Code.Unauthenticated,
  AUTHORITY_RETIRED: Code.Unauthenticated,
  CERTIFICATE_EXPIRED: Code.Unauthenticated,
  CERTIFICATE_NOT_YET_VALID: Code.Unauthenticated,
  DEVICE_REVOKED: Code.Unauthenticated,
  DEVICE_QUARANTINED: Code.Unauthenticated,
  CALLER_NOT_ALLOWED: Code.PermissionDenied,
  CLOCK_SKEW: Code.FailedPrecondition,
  CLOCK_WRONG: Code.FailedPrecondition,
  PROOF_WRONG: Code.PermissionDenied,
  RECOVERY_NEEDS_APPROVAL: Code.PermissionDenied,

  PAIRING_NOT_FOUND: Code.NotFound,
  PAIRING_STATE_CONFLICT: Code.FailedPrecondition,
  PAIRING_REJECTED: Code.PermissionDenied,
  PAIRING_EXPIRED: Code.FailedPrecondition,
  SESSION_NOT_FOUND: Code.NotFound,
  IDENTITY_KEY_CHANGED: Code.FailedPrecondition,
  KEY_IN_USE: Code.FailedPrecondition,
  DEVICE_NOT_FOUND: Code.NotFound,
  CERTIFICATE_NOT_FOUND: Code.NotFound,
  NOT_PAIRED: Code.FailedPrecondition,
  NOTHING_FOUND: Code.NotFound,
  ROTATION_CONFLICT: Code.FailedPrecondition,
  REVOCATIONS_UNKNOWN: Code.FailedPrecondition,
  BACKUP_EXISTS: Code.AlreadyExists,
  ROTATION_NOT_READY: Code.FailedPrecondition,
  HOME_IN_USE: Code.FailedPrecondition,

  RATE_LIMITED: Code.ResourceExhausted,
  TOO_MANY_CODES: Code.ResourceExhausted,
  TOO_MANY_SESSIONS: Code.ResourceExhausted,
  TOO_MANY_REQUESTS: Code.ResourceExhausted,

  DEVICE_NOT_CONNECTED: Code.Unavailable,
  DEVICE_BUSY: Code.ResourceExhausted,
  CHANNEL_REPLACED: Code.Aborted,
  CHANNEL_IN_USE: Code.AlreadyExists,
  CAPABILITY_UNKNOWN: Code.NotFound,
  CAPABILITY_FAILED: Code.Aborted,
  CAPABILITY_TIMEOUT: Code.DeadlineExceeded,
  CAPABILITY_OUTPUT_TOO_LARGE: Code.ResourceExhausted,
  CAPABILITY_CANCELED: Code.Canceled,
  CAPABILITY_LOST: Code.Aborted,

  SECRET_NOT_FOUND: Code.Internal,
  SECRET_CORRUPT: Code.Internal,
  MASTER_KEY_WRONG: Code.Internal,
  STORE_PERMISSIONS: Code.Internal,
  STORE_FULL: Code.Unavailable,
  STORE_FAILED: Code.Unavailable,
  REGISTRY_VERSION: Code.Internal,
  REGISTRY_LOST: Code.Internal,
  AUDIT_BROKEN: Code.DataLoss,
  BACKUP_UNREADABLE: Code.DataLoss,
  SIGNER_UNAVAILABLE: Code.Unavailable,
  SIGNER_MISMATCH: Code.Internal,
  SIGNER_PIN_WRONG: Code.Internal,

  UNREACHABLE: Code.Unavailable,
  QUIC_UNAVAILABLE: Code.Unavailable,
  INTERNAL: Code.Internal,
};

/** The daemon's own disk, registry, secret store or token failed. */
const storeCodes: ReadonlySet<IdentityErrorCode> = new Set([
  'SECRET_NOT_FOUND',
  'SECRET_CORRUPT',
  'MASTER_KEY_WRONG',
  'STORE_PERMISSIONS',
  'STORE_FULL',
  'STORE_FAILED',
  'REGISTRY_VERSION',
  'REGISTRY_LOST',
  'AUDIT_BROKEN',
  'SIGNER_UNAVAILABLE',
  'SIGNER_MISMATCH',
  'SIGNER_PIN_WRONG',
]);

/**
 * What a peer is told. Of what failed inside the daemon only the operator hears more than the code: such messages name
 * files.
 * @param from.operator the peer is one.
 * @param from.isOwn a handler of a program's own threw it, whose lost connections are to others than the peer.
 * @returns `internal` when the server should write the error down. The error can always be sent.
 */
export function toConnectError(
  error: unknown,
  from: { readonly operator?: boolean; readonly isOwn?: boolean } = {},
): ForPeer {
  if (isAbort(error)) return toConnectError(reasonOfAbort(error), { ...from, isOwn: false });
  if (error instanceof ConnectError) return sendable(error);
  if (!from.isOwn && isPeerGone(error))
    return { error: new ConnectError('The peer has gone.', Code.Canceled), internal: false };
  if (!(error instanceof IdentityError)) return { error: failedInside('INTERNAL'), internal: true };
  const internal = error.code === 'INTERNAL' || storeCodes.has(error.code);
  if (internal && !from.operator) return { error: failedInside(error.code), internal };
  return { error: withInfo(error.code, error.message, error.retryAfterMs), internal };
}

interface ForPeer {
  readonly error: ConnectError;
  readonly internal: boolean;
}

/** A handler's own error. What is wrong with it is the handler's bug, but for a text that is too long. */
function sendable(error: ConnectError): ForPeer {
  const sent = new ConnectError(
    wireText(String(error.rawMessage)),
    error.code,
    // As Connect itself does with an error that came from another server.
    error.isWireError ? undefined : error.metadata,
    undefined,
    error.cause,
  );
  for (const detail of error.details) sent.details.push(detail);
  try {
    if (Code[error.code] === undefined) throw new TypeError(`there is no status ${error.code}`);
    checkHeaderFields(setTrailerStatus(new Headers(), sent));
    return { error: sent.rawMessage === error.rawMessage ? error : sent, internal: false };
  } catch {
    return { error: failedInside('INTERNAL'), internal: true };
  }
}

/** A text with half a character, cut from what a device said, cannot be sent: the call would never be answered. */
function wireText(text: string): string {
  return (text.length > maxTextLength ? `${text.slice(0, maxTextLength)}...` : text).toWellFormed();
}

/**
 * Node's words for a request that its sender broke off. That is no bug, and whoever can reach a listener could fill the
 * log with them.
 */
export function isPeerGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && goneCodes.has(error.code);
}

/** What a wait throws that the call's signal broke off: Node's own error around the signal's reason, or that of a bare abort. */
function isAbort(error: unknown): error is Error {
  return error instanceof Error && error.name === 'AbortError';
}

function reasonOfAbort({ cause }: Error): Error {
  return cause instanceof Error && !isAbort(cause)
    ? cause
    : new ConnectError('The call was broken off.', Code.Canceled);
}

const goneCodes: ReadonlySet<unknown> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET']);

function failedInside(code: IdentityErrorCode): ConnectError {
  return withInfo(code, 'Something failed inside the daemon; its log says what.');
}

function withInfo(code: IdentityErrorCode, message: string, retryAfterMs = 0): ConnectError {
  const wire = new ConnectError(wireText(message), grpcCodes[code]);
  // As bytes: with its schema, an error that nobody catches fills the screen.
  const info = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { code, retryAfterMs }));
  wire.details.push({ type: ErrorInfoSchema.typeName, value: info });
  if (retryAfterMs > 0) wire.metadata.set('retry-after', String(Math.ceil(retryAfterMs / 1000)));
  return wire;
}

/** What a client throws: the peer's own code where it sent one, otherwise the nearest for what gRPC says. Its text is one printable line. */
export function fromConnectError(error: unknown): IdentityError {
  if (error instanceof IdentityError) return error;
  const wire = ConnectError.from(error);
  const message = printable(wire.rawMessage);
  const info = wire.findDetails(ErrorInfoSchema)[0];
  if (info && Object.hasOwn(grpcCodes, info.code)) {
    return new IdentityError(info.code as IdentityErrorCode, message, {
      cause: error,
      ...(info.retryAfterMs > 0 && { retryAfterMs: info.retryAfterMs }),
    });
  }
  if (wire.cause instanceof IdentityError) return wire.cause;
  if (wire.cause instanceof Error && wire.cause.message.endsWith('NGHTTP2_REFUSED_STREAM')) {
    return new IdentityError('UNREACHABLE', 'The connection was closed before this call.', { cause: error });
  }
  if (wire.code === Code.Unimplemented) {
    const other =
      'What answers at this address does not serve this call. Check the port (pairing and node listeners have their own), and that both sides are of one version.';
    return new IdentityError('UNREACHABLE', other, { cause: error });
  }
  const code = withoutInfo(wire.code);
  // What Node and Connect say of a call that was broken off here.
  if (code === 'UNREACHABLE' && (wire.cause instanceof Error || isOurDeadline(wire)))
    return new IdentityError(code, brokenOff(wire), { cause: error });
  return new IdentityError(code, message, { cause: error });
}

/** Connect gives it no cause. */
function isOurDeadline({ code, rawMessage }: ConnectError): boolean {
  return code === Code.DeadlineExceeded && rawMessage === 'the operation timed out';
}

function brokenOff(error: ConnectError): string {
  const { cause } = error;
  if (error.code === Code.DeadlineExceeded) return 'The other side did not answer in time.';
  const isOfSystem = cause instanceof Error && 'code' in cause;
  return `The connection ended before this call was answered${isOfSystem ? `: ${reasonOf(cause)}` : ''}.`;
}

/** Connect itself refuses these before our code is asked. */
function withoutInfo(code: Code): IdentityErrorCode {
  switch (code) {
    case Code.InvalidArgument:
      return 'MESSAGE_INVALID';
    case Code.ResourceExhausted:
      return 'MESSAGE_TOO_LARGE';
    case Code.Unavailable:
    case Code.Aborted:
    case Code.Canceled:
    case Code.DeadlineExceeded:
      return 'UNREACHABLE';
    default:
      return 'INTERNAL';
  }
}
