// The one list of all failures that this library reports. Programs read the code, which is stable. Its family says whose fault
// the failure is, and decides the gRPC status, the exit code, the QUIC number and the text that a peer gets (docs/errors.md).
// The message says what happened. The program that shows the error adds what to do next. Misuse of the API is a TypeError.

const families = {
  /** Malformed input from outside, a passphrase that is too weak, or a service that the daemon cannot serve. */
  invalid: [
    'MESSAGE_INVALID',
    'MESSAGE_TOO_LARGE',
    'VERSION_UNSUPPORTED',
    'CODE_MALFORMED',
    'DEVICE_ID_INVALID',
    'PASSPHRASE_WEAK',
    'CERTIFICATE_INVALID',
    'SERVICE_INVALID',
  ],
  /** The peer is not the expected one, or its certificate or device is no longer valid. */
  unauthenticated: [
    'DAEMON_NOT_AUTHENTICATED',
    'ROOT_MISMATCH',
    'CERTIFICATE_MISSING',
    'CERTIFICATE_UNKNOWN',
    'CERTIFICATE_REVOKED',
    'CERTIFICATE_SUPERSEDED',
    'AUTHORITY_RETIRED',
    'CERTIFICATE_EXPIRED',
    'CERTIFICATE_NOT_YET_VALID',
    'DEVICE_REVOKED',
    'DEVICE_QUARANTINED',
  ],
  /** The peer may not do this, or a clock is wrong. */
  refused: [
    'PAIRING_CODE_WRONG',
    'PAIRING_REJECTED',
    'TOO_MANY_TRIES',
    'CALLER_NOT_ALLOWED',
    'CAPABILITY_NOT_ALLOWED',
    'PASSKEY_REQUIRED',
    'PASSKEY_WRONG',
    'PROOF_WRONG',
    'RECOVERY_NEEDS_APPROVAL',
    'CLOCK_SKEW',
    'CLOCK_WRONG',
  ],
  /** Nothing has this id or name. */
  missing: [
    'PAIRING_NOT_FOUND',
    'SESSION_NOT_FOUND',
    'DEVICE_NOT_FOUND',
    'CERTIFICATE_NOT_FOUND',
    'NOTHING_FOUND',
  ],
  /** The current state does not allow the operation. */
  conflict: [
    'PAIRING_STATE_CONFLICT',
    'PAIRING_EXPIRED',
    'IDENTITY_KEY_CHANGED',
    'KEY_IN_USE',
    'NOT_PAIRED',
    'ROTATION_CONFLICT',
    'ROTATION_NOT_READY',
    'REVOCATIONS_UNKNOWN',
    'BACKUP_EXISTS',
    'HOME_IN_USE',
    'REGISTRY_IN_USE',
  ],
  /** A limit in docs/limits.md was reached. Try again after `retryAfterMs`. */
  limit: ['RATE_LIMITED', 'TOO_MANY_CODES', 'TOO_MANY_SESSIONS', 'TOO_MANY_REQUESTS'],
  /** A capability did not run on its device, or failed there. */
  capability: [
    'DEVICE_NOT_CONNECTED',
    'DEVICE_BUSY',
    'CHANNEL_REPLACED',
    'CHANNEL_IN_USE',
    'CAPABILITY_UNKNOWN',
    'CAPABILITY_FAILED',
    'CAPABILITY_TIMEOUT',
    'CAPABILITY_OUTPUT_TOO_LARGE',
    'CAPABILITY_CANCELED',
    'CAPABILITY_LOST',
  ],
  /** The disk, the registry, the secret store or the token failed. No acknowledged change is lost. */
  store: [
    'SECRET_NOT_FOUND',
    'SECRET_CORRUPT',
    'MASTER_KEY_WRONG',
    'STORE_PERMISSIONS',
    'STORE_FULL',
    'STORE_FAILED',
    'STORE_UNREACHABLE',
    'STORE_OUTCOME_UNKNOWN',
    'REGISTRY_VERSION',
    'REGISTRY_LOST',
    'REGISTRY_WENT_BACK',
    'REGISTRY_MOVED',
    'AUDIT_BROKEN',
    'BACKUP_UNREADABLE',
    'SIGNER_UNAVAILABLE',
    'SIGNER_MISMATCH',
    'SIGNER_PIN_WRONG',
  ],
  /** The peer is unreachable, or this machine does not support QUIC. */
  unreachable: ['UNREACHABLE', 'QUIC_UNAVAILABLE'],
  /** A bug, or a failure without a code of its own. */
  internal: ['INTERNAL'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type ErrorFamily = keyof typeof families;
export type IdentityErrorCode = (typeof families)[ErrorFamily][number];

const familyByCode: ReadonlyMap<string, ErrorFamily> = new Map(
  Object.entries(families).flatMap(([family, codes]) =>
    codes.map((code) => [code, family as ErrorFamily] as const),
  ),
);

/** Every code, in the order of the families. */
export const errorCodes: readonly IdentityErrorCode[] = Object.values(families).flat();

/** The family of a code. */
export function familyOf(code: IdentityErrorCode): ErrorFamily {
  const family = familyByCode.get(code);
  if (!family) throw new TypeError(`there is no error code ${code}`);
  return family;
}

/** Checks a code that came from outside. */
export function isErrorCode(code: string): code is IdentityErrorCode {
  return familyByCode.has(code);
}

/** The subject of an error, for codes that do not tell on their own what to do next. */
export const errorSubjects = [
  /** The pairing code: mistyped, used up, or guessed at by somebody between device and daemon. */
  'pairing_code',
  /** A handshake that was changed on its way. */
  'interception',
  /** A device's long-lived key. */
  'identity_key',
  /** A certificate that was refused right after a recovery. */
  'recovery',
  /** The root of the daemon's authority. */
  'root',
  /** A root that expires within a year. */
  'old_root',
  /** The issuing CA below the root. */
  'issuing_ca',
  /** Authorities that were set aside. */
  'set_aside',
  /** A backup, restored or about to be. */
  'backup',
  'key_file',
  'secret_store',
  'registry',
  /** A device's record of one daemon. */
  'device_record',
  /** A device's own record of its id and identity key. */
  'device_identity',
  'operator_role',
  /** A quarantined device that an operator can release only on the daemon's machine. */
  'quarantine',
  'console_login',
  /** The admin socket of a daemon on this machine. */
  'admin_socket',
  /** The addresses at which a device looks for its daemon. */
  'node_endpoints',
  'quic_endpoints',
  /** The home, the folder that holds all files. */
  'home',
  /** A home that belongs to another user. */
  'home_owner',
  /** The configuration file. */
  'configuration',
] as const;
export type ErrorSubject = (typeof errorSubjects)[number];

/** The facts in the message, for programs. */
export interface ErrorFields {
  readonly about?: ErrorSubject;
  readonly deviceId?: string;
  readonly pairingId?: string;
  /** The system user who owns `path`. Never sent to a peer. */
  readonly user?: string;
  /** Never sent to a peer. */
  readonly path?: string;
}

export interface IdentityErrorOptions extends ErrorFields {
  /** The underlying error. */
  readonly cause?: unknown;
  /** When to try again, ms from now. */
  readonly retryAfterMs?: number;
}

/** The one error class of this library. */
export class IdentityError extends Error {
  readonly code: IdentityErrorCode;
  readonly retryAfterMs: number | undefined;
  readonly fields: ErrorFields;

  constructor(code: IdentityErrorCode, message: string, options: IdentityErrorOptions = {}) {
    const { cause, retryAfterMs, ...fields } = options;
    super(message, 'cause' in options ? { cause } : undefined);
    this.name = 'IdentityError';
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.fields = fields;
  }

  get family(): ErrorFamily {
    return familyOf(this.code);
  }
}

/** True for an IdentityError with this code. */
export function hasCode(error: unknown, code: IdentityErrorCode): error is IdentityError {
  return error instanceof IdentityError && error.code === code;
}
