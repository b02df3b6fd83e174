// Every failure this library can report. The code is stable and for programs; the message is for people and
// says what happened and what to do next. Misuse of the API itself is a TypeError.

/** A message, code or record from outside that cannot be read, a passphrase that protects nothing, or a service that cannot be served. */
type InvalidCode =
  | 'MESSAGE_INVALID'
  | 'MESSAGE_TOO_LARGE'
  | 'VERSION_UNSUPPORTED'
  | 'CODE_MALFORMED'
  | 'DEVICE_ID_INVALID'
  | 'PASSPHRASE_WEAK'
  | 'CERTIFICATE_INVALID'
  | 'SERVICE_INVALID';

/** The peer is not who it must be, or may not do this. */
type RefusedCode =
  | 'PAIRING_CODE_WRONG'
  | 'TOO_MANY_TRIES'
  | 'DAEMON_NOT_AUTHENTICATED'
  | 'ROOT_MISMATCH'
  | 'CERTIFICATE_MISSING'
  | 'CERTIFICATE_UNKNOWN'
  | 'CERTIFICATE_REVOKED'
  | 'CERTIFICATE_SUPERSEDED'
  | 'AUTHORITY_RETIRED'
  | 'CERTIFICATE_EXPIRED'
  | 'CERTIFICATE_NOT_YET_VALID'
  | 'DEVICE_REVOKED'
  | 'DEVICE_QUARANTINED'
  | 'CALLER_NOT_ALLOWED'
  | 'CLOCK_SKEW'
  | 'CLOCK_WRONG'
  | 'PROOF_WRONG'
  | 'RECOVERY_NEEDS_APPROVAL';

/** The thing is not in a state where this can be done. */
type ConflictCode =
  | 'PAIRING_NOT_FOUND'
  | 'PAIRING_STATE_CONFLICT'
  | 'PAIRING_REJECTED'
  | 'PAIRING_EXPIRED'
  | 'SESSION_NOT_FOUND'
  | 'IDENTITY_KEY_CHANGED'
  | 'KEY_IN_USE'
  | 'DEVICE_NOT_FOUND'
  | 'CERTIFICATE_NOT_FOUND'
  | 'NOT_PAIRED'
  | 'NOTHING_FOUND'
  | 'ROTATION_CONFLICT'
  | 'REVOCATIONS_UNKNOWN'
  | 'BACKUP_EXISTS'
  | 'ROTATION_NOT_READY'
  | 'HOME_IN_USE';

/** A limit of docs/limits.md was reached; try again after `retryAfterMs`. */
type LimitCode = 'RATE_LIMITED' | 'TOO_MANY_CODES' | 'TOO_MANY_SESSIONS' | 'TOO_MANY_REQUESTS';

/** A capability that was to run on a device did not. */
type CapabilityCode =
  | 'DEVICE_NOT_CONNECTED'
  | 'DEVICE_BUSY'
  | 'CHANNEL_REPLACED'
  | 'CHANNEL_IN_USE'
  | 'CAPABILITY_UNKNOWN'
  | 'CAPABILITY_FAILED'
  | 'CAPABILITY_TIMEOUT'
  | 'CAPABILITY_OUTPUT_TOO_LARGE'
  | 'CAPABILITY_CANCELED'
  | 'CAPABILITY_LOST';

/** The disk, the registry, the secret store or the token failed; nothing that was acknowledged is lost. */
type StoreCode =
  | 'SECRET_NOT_FOUND'
  | 'SECRET_CORRUPT'
  | 'MASTER_KEY_WRONG'
  | 'STORE_PERMISSIONS'
  | 'STORE_FULL'
  | 'STORE_FAILED'
  | 'REGISTRY_VERSION'
  | 'REGISTRY_LOST'
  | 'AUDIT_BROKEN'
  | 'BACKUP_UNREADABLE'
  | 'SIGNER_UNAVAILABLE'
  | 'SIGNER_MISMATCH'
  | 'SIGNER_PIN_WRONG';

/** The peer cannot be reached, this machine cannot speak QUIC, or something failed that has no better name. */
type TransportCode = 'UNREACHABLE' | 'QUIC_UNAVAILABLE' | 'INTERNAL';

export type IdentityErrorCode =
  | InvalidCode
  | RefusedCode
  | ConflictCode
  | LimitCode
  | CapabilityCode
  | StoreCode
  | TransportCode;

export interface IdentityErrorOptions {
  /** The error underneath. */
  readonly cause?: unknown;
  /** Milliseconds after which trying again can help. */
  readonly retryAfterMs?: number;
}

/** The one error class of this library. */
export class IdentityError extends Error {
  readonly code: IdentityErrorCode;
  readonly retryAfterMs: number | undefined;

  constructor(code: IdentityErrorCode, message: string, options: IdentityErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'IdentityError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** True for an IdentityError with this code. */
export function hasCode(error: unknown, code: IdentityErrorCode): error is IdentityError {
  return error instanceof IdentityError && error.code === code;
}
