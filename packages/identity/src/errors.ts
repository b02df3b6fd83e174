// Every failure this library can report, once. The code is stable and for programs; its family says whose fault it is, and
// decides gRPC status, exit code, QUIC number and what a peer is told (docs/errors.md). The message says what happened; what a
// person should do next depends on the program that shows the error. Misuse of the API itself is a TypeError.

const families = {
  /** A message, code or record from outside that cannot be read, a passphrase that protects nothing, or a service that cannot be served. */
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
  /** The peer is not the one it must be, or its certificate or device no longer holds. */
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
  /** The thing is not in a state where this can be done. */
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
  ],
  /** A limit of docs/limits.md was reached; try again after `retryAfterMs`. */
  limit: ['RATE_LIMITED', 'TOO_MANY_CODES', 'TOO_MANY_SESSIONS', 'TOO_MANY_REQUESTS'],
  /** A capability that was to run on a device did not. */
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
  /** The disk, the registry, the secret store or the token failed; nothing that was acknowledged is lost. */
  store: [
    'SECRET_NOT_FOUND',
    'SECRET_CORRUPT',
    'MASTER_KEY_WRONG',
    'STORE_PERMISSIONS',
    'STORE_FULL',
    'STORE_FAILED',
    'REGISTRY_VERSION',
    'REGISTRY_LOST',
    'AUDIT_BROKEN',
    'BACKUP_UNREADABLE',
    'SIGNER_UNAVAILABLE',
    'SIGNER_MISMATCH',
    'SIGNER_PIN_WRONG',
  ],
  /** The peer cannot be reached, or this machine cannot speak QUIC. */
  unreachable: ['UNREACHABLE', 'QUIC_UNAVAILABLE'],
  /** A bug, or a failure without a better name. */
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

/** Whose fault a failure with this code is. */
export function familyOf(code: IdentityErrorCode): ErrorFamily {
  const family = familyByCode.get(code);
  if (!family) throw new TypeError(`there is no error code ${code}`);
  return family;
}

/** For a code that somebody else sent. */
export function isErrorCode(code: string): code is IdentityErrorCode {
  return familyByCode.has(code);
}

/** What a code is about, where the code alone leaves open what can be done. */
export const errorSubjects = [
  /** The code that the device was given: mistyped, used up, or somebody in between has guessed. */
  'pairing_code',
  /** A handshake that somebody in between has changed. */
  'interception',
  /** The long-lived key of a device. */
  'identity_key',
  /** A certificate that was refused right after a recovery. */
  'recovery',
  /** The root of the daemon's authority. */
  'root',
  /** A root that ends within a year. */
  'old_root',
  /** The issuing CA below it. */
  'issuing_ca',
  /** Authorities that are set aside. */
  'set_aside',
  /** What was restored, or is to be. */
  'backup',
  'key_file',
  'secret_store',
  'registry',
  /** What a device keeps of one daemon. */
  'device_record',
  /** Id and identity key of a device, as it keeps them. */
  'device_identity',
  'operator_role',
  /** A device in quarantine that only the daemon's own machine may release. */
  'quarantine',
  'console_login',
  /** The socket of a daemon on this machine. */
  'admin_socket',
  /** Where a device looks for its daemon. */
  'node_endpoints',
  'quic_endpoints',
  /** The folder of everything. */
  'home',
  /** A home of another user. */
  'home_owner',
  /** The configuration file. */
  'configuration',
] as const;
export type ErrorSubject = (typeof errorSubjects)[number];

/** What a program would otherwise have to read out of the message. */
export interface ErrorFields {
  readonly about?: ErrorSubject;
  readonly deviceId?: string;
  readonly pairingId?: string;
  /** Of the system: the owner of `path`. Stays on this machine. */
  readonly user?: string;
  /** Stays on this machine. */
  readonly path?: string;
}

export interface IdentityErrorOptions extends ErrorFields {
  /** The error underneath. */
  readonly cause?: unknown;
  /** Milliseconds after which trying again can help. */
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
