// Converts IdentityErrors to wire errors and back. The stable code travels as a typed detail; its family decides the gRPC code.

import { toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { type ErrorFamily, familyOf, isErrorCode } from '@palyra/identity/errors';
import { IdentityError, type IdentityErrorCode, printable, reasonOf } from '@palyra/identity/portable';
import { checkHeaderFields } from './calls/header-fields.ts';
import { fieldsOf, toErrorInfo } from './error-info.ts';
import { ErrorInfoSchema } from './gen/palyra/error/v1/error_pb.js';

/** Characters of a text that is sent. Encoded, with our details, it fits into the 8 KiB of headers that Java's gRPC clients accept. */
const maxTextLength = 500;

const byFamily: Readonly<Record<ErrorFamily, Code>> = {
  invalid: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  refused: Code.PermissionDenied,
  missing: Code.NotFound,
  conflict: Code.FailedPrecondition,
  limit: Code.ResourceExhausted,
  capability: Code.Aborted,
  store: Code.Internal,
  unreachable: Code.Unavailable,
  internal: Code.Internal,
};

/** Codes for which gRPC has a more precise code than the family's. */
const exceptions: Readonly<Partial<Record<IdentityErrorCode, Code>>> = {
  MESSAGE_TOO_LARGE: Code.ResourceExhausted,
  VERSION_UNSUPPORTED: Code.FailedPrecondition,
  CLOCK_SKEW: Code.FailedPrecondition,
  CLOCK_WRONG: Code.FailedPrecondition,
  BACKUP_EXISTS: Code.AlreadyExists,

  DEVICE_NOT_CONNECTED: Code.Unavailable,
  DEVICE_BUSY: Code.ResourceExhausted,
  CHANNEL_IN_USE: Code.AlreadyExists,
  CAPABILITY_UNKNOWN: Code.NotFound,
  CAPABILITY_TIMEOUT: Code.DeadlineExceeded,
  CAPABILITY_OUTPUT_TOO_LARGE: Code.ResourceExhausted,
  CAPABILITY_CANCELED: Code.Canceled,

  // These are temporary, and a client may retry.
  STORE_FULL: Code.Unavailable,
  STORE_FAILED: Code.Unavailable,
  STORE_UNREACHABLE: Code.Unavailable,
  SIGNER_UNAVAILABLE: Code.Unavailable,
  AUDIT_BROKEN: Code.DataLoss,
  BACKUP_UNREADABLE: Code.DataLoss,
};

export function grpcCodeOf(code: IdentityErrorCode): Code {
  return exceptions[code] ?? byFamily[familyOf(code)];
}

/** Codes of failures inside the daemon, whose messages name files. */
const insideFamilies: ReadonlySet<ErrorFamily> = new Set(['store', 'internal']);

/**
 * The error for a peer. For failures inside the daemon only the operator gets more than the code, because their messages name
 * files.
 * @param from.operator whether the peer is an operator.
 * @param from.isOwn whether an embedding program's handler threw the error. Its lost connections are not the peer's.
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
  // The registry itself says once that its database is away; each call that it refuses would fill the log.
  if (error.code === 'STORE_UNREACHABLE' && !from.operator)
    return {
      error: withInfo(error.code, databaseAway, { retryAfterMs: error.retryAfterMs }),
      internal: false,
    };
  const internal = insideFamilies.has(error.family);
  if (internal && !from.operator) return { error: failedInside(error.code), internal };
  return { error: withInfo(error.code, error.message, error), internal };
}

interface ForPeer {
  readonly error: ConnectError;
  readonly internal: boolean;
}

/** Checks a handler's own error. Any fault in it is a bug of the handler, except a text that is too long. */
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

/** Replaces half characters in a text, such as one cut from a device's text. They cannot be sent, and the call would never end. */
function wireText(text: string): string {
  return (text.length > maxTextLength ? `${text.slice(0, maxTextLength)}...` : text).toWellFormed();
}

/**
 * Whether Node reports that the sender aborted its request. That is no bug, and anyone who can reach a listener could fill the
 * log with such errors.
 */
export function isPeerGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && goneCodes.has(error.code);
}

/** The reason when the call's signal ended a wait. Node wraps the reason in its own error, or throws a plain abort error. */
function isAbort(error: unknown): error is Error {
  return error instanceof Error && error.name === 'AbortError';
}

function reasonOfAbort({ cause }: Error): Error {
  return cause instanceof Error && !isAbort(cause)
    ? cause
    : new ConnectError('The call was aborted.', Code.Canceled);
}

const goneCodes: ReadonlySet<unknown> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET']);

const databaseAway = "The daemon's database cannot be used now. Try again.";

function failedInside(code: IdentityErrorCode): ConnectError {
  return withInfo(code, 'Something failed inside the daemon; its log says what.');
}

function withInfo(
  code: IdentityErrorCode,
  message: string,
  { fields, retryAfterMs = 0 }: Partial<Pick<IdentityError, 'fields' | 'retryAfterMs'>> = {},
): ConnectError {
  const wire = new ConnectError(wireText(message), grpcCodeOf(code));
  // Encoded, because Node would print an uncaught error with the whole schema.
  const info = toBinary(ErrorInfoSchema, toErrorInfo(code, fields, retryAfterMs));
  wire.details.push({ type: ErrorInfoSchema.typeName, value: info });
  if (retryAfterMs > 0) wire.metadata.set('retry-after', String(Math.ceil(retryAfterMs / 1000)));
  return wire;
}

/** The error for a client: with the peer's own code if it sent one, otherwise the code nearest to gRPC's. The text is one printable line. */
export function fromConnectError(error: unknown): IdentityError {
  if (error instanceof IdentityError) return error;
  const wire = ConnectError.from(error);
  const message = printable(wire.rawMessage);
  const info = wire.findDetails(ErrorInfoSchema)[0];
  if (info && isErrorCode(info.code)) {
    return new IdentityError(info.code, message, {
      cause: error,
      ...fieldsOf(info),
      ...(info.retryAfterMs > 0 && { retryAfterMs: info.retryAfterMs }),
    });
  }
  if (wire.cause instanceof IdentityError) return wire.cause;
  if (wire.cause instanceof Error && wire.cause.message.endsWith('NGHTTP2_REFUSED_STREAM')) {
    return new IdentityError('UNREACHABLE', 'The connection was closed before this call.', { cause: error });
  }
  if (wire.code === Code.Unimplemented) {
    const other =
      'The server at this address does not serve this call. Check the port (pairing and node listeners have different ports), and that both sides run the same version.';
    return new IdentityError('UNREACHABLE', other, { cause: error });
  }
  const code = withoutInfo(wire.code);
  // Errors of Node and Connect for a call that was aborted on this side.
  if (code === 'UNREACHABLE' && (wire.cause instanceof Error || isOurDeadline(wire)))
    return new IdentityError(code, brokenOff(wire), { cause: error });
  return new IdentityError(code, message, { cause: error });
}

/** Recognises Connect's timeout by its text, because it has no cause. */
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
