// What the command itself can fail with, and how every failure ends: exit code, stable code, message.

import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { reasonOf, refusalOf } from '@palyra/identity/values';

export type CliErrorCode =
  /** Arguments or options that cannot be used. */
  | 'USAGE'
  /** A question had to be asked and there is no terminal to ask it on. */
  | 'NO_TERMINAL'
  /** The person said no. */
  | 'CANCELLED'
  /** A file that was named cannot be read or written. */
  | 'FILE_FAILED'
  /** `palyra doctor` found a problem. */
  | 'UNHEALTHY'
  /** `--timeout` passed without a decision. */
  | 'TIMED_OUT'
  /** Ctrl-C. */
  | 'INTERRUPTED'
  | 'TERMINATED';

export class CliError extends Error {
  readonly code: CliErrorCode;

  constructor(code: CliErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
    this.code = code;
  }
}

/** @param done what it could not be. */
export function fileFailed(file: string, done: 'read' | 'written' | 'removed', cause: unknown): CliError {
  return new CliError('FILE_FAILED', `${file} cannot be ${done}: ${reasonOf(cause)}.`, { cause });
}

/** The documented exit codes. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  refused: 3,
  conflict: 4,
  limit: 5,
  store: 6,
  unreachable: 7,
  interrupted: 130,
  terminated: 143,
} as const;

export const exitCodeHelp = `Exit codes:
  0  done
  1  failed, for a reason without a code of its own
  2  the arguments, the code or a message cannot be used
  3  refused: wrong code, rejected, revoked, or not the right daemon
  4  not found, or not in a state where this can be done
  5  a limit was reached or the time is over: try again later
  6  the disk, the registry, the secret store or the token failed
  7  nobody answers at the address
  130, 143  interrupted (Ctrl-C), terminated`;

/** The same on the help of one command. */
export const exitCodeLine =
  'Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 wrong state or not found,\n5 limit or time, 6 disk or store, 7 nobody answers, 130 and 143 interrupted';

const { failure, usage, refused, conflict, limit, store, unreachable } = exitCodes;

/** By family of the library's errors; the two that differ say why. */
const byCode: Readonly<Record<IdentityErrorCode | CliErrorCode, number>> = {
  USAGE: usage,
  NO_TERMINAL: usage,
  CANCELLED: failure,
  FILE_FAILED: failure,
  UNHEALTHY: failure,
  TIMED_OUT: limit,
  INTERRUPTED: exitCodes.interrupted,
  TERMINATED: exitCodes.terminated,

  MESSAGE_INVALID: usage,
  MESSAGE_TOO_LARGE: usage,
  VERSION_UNSUPPORTED: usage,
  CODE_MALFORMED: usage,
  DEVICE_ID_INVALID: usage,
  PASSPHRASE_WEAK: usage,
  CERTIFICATE_INVALID: usage,
  SERVICE_INVALID: usage,

  PAIRING_CODE_WRONG: refused,
  TOO_MANY_TRIES: refused,
  DAEMON_NOT_AUTHENTICATED: refused,
  ROOT_MISMATCH: refused,
  CERTIFICATE_MISSING: refused,
  CERTIFICATE_UNKNOWN: refused,
  CERTIFICATE_REVOKED: refused,
  CERTIFICATE_SUPERSEDED: refused,
  AUTHORITY_RETIRED: refused,
  CERTIFICATE_EXPIRED: refused,
  CERTIFICATE_NOT_YET_VALID: refused,
  DEVICE_REVOKED: refused,
  DEVICE_QUARANTINED: refused,
  CALLER_NOT_ALLOWED: refused,
  CLOCK_SKEW: refused,
  CLOCK_WRONG: refused,
  PROOF_WRONG: refused,
  RECOVERY_NEEDS_APPROVAL: refused,

  PAIRING_NOT_FOUND: conflict,
  PAIRING_STATE_CONFLICT: conflict,
  // The library sees a state that ended; the person was refused.
  PAIRING_REJECTED: refused,
  PAIRING_EXPIRED: conflict,
  SESSION_NOT_FOUND: conflict,
  IDENTITY_KEY_CHANGED: conflict,
  KEY_IN_USE: conflict,
  DEVICE_NOT_FOUND: conflict,
  CERTIFICATE_NOT_FOUND: conflict,
  NOT_PAIRED: conflict,
  NOTHING_FOUND: conflict,
  ROTATION_CONFLICT: conflict,
  REVOCATIONS_UNKNOWN: conflict,
  BACKUP_EXISTS: conflict,
  ROTATION_NOT_READY: conflict,
  HOME_IN_USE: conflict,

  RATE_LIMITED: limit,
  TOO_MANY_CODES: limit,
  TOO_MANY_SESSIONS: limit,
  TOO_MANY_REQUESTS: limit,

  DEVICE_NOT_CONNECTED: failure,
  DEVICE_BUSY: failure,
  CHANNEL_REPLACED: failure,
  CHANNEL_IN_USE: failure,
  CAPABILITY_UNKNOWN: failure,
  CAPABILITY_FAILED: failure,
  CAPABILITY_TIMEOUT: failure,
  CAPABILITY_OUTPUT_TOO_LARGE: failure,
  CAPABILITY_CANCELED: failure,
  CAPABILITY_LOST: failure,

  SECRET_NOT_FOUND: store,
  SECRET_CORRUPT: store,
  MASTER_KEY_WRONG: store,
  STORE_PERMISSIONS: store,
  STORE_FULL: store,
  STORE_FAILED: store,
  REGISTRY_VERSION: store,
  REGISTRY_LOST: store,
  // The store works; the answer of `audit verify` is no.
  AUDIT_BROKEN: failure,
  BACKUP_UNREADABLE: store,
  SIGNER_UNAVAILABLE: store,
  SIGNER_MISMATCH: store,
  SIGNER_PIN_WRONG: store,

  UNREACHABLE: unreachable,
  // It is this machine that lacks something, whoever may be at the address.
  QUIC_UNAVAILABLE: failure,
  INTERNAL: failure,
};

/** How a run ends that did not do what was asked. */
export interface Failure {
  readonly exitCode: number;
  readonly code: string;
  readonly message: string;
  readonly retryAfterMs?: number;
  /** Only for a bug: where it was. */
  readonly stack?: string;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof IdentityError || error instanceof CliError) {
    const { code, message } = error;
    const retryAfterMs = error instanceof IdentityError ? error.retryAfterMs : undefined;
    return { exitCode: byCode[code], code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
  const refused = refusalOf(error);
  if (refused) return { exitCode: byCode.FILE_FAILED, code: 'FILE_FAILED', message: refused };
  const stack = error instanceof Error ? error.stack : undefined;
  return {
    exitCode: failure,
    code: 'INTERNAL',
    message: `Something failed inside palyra that should not: ${reasonOf(error)}. Please report it.`,
    ...(stack !== undefined && { stack }),
  };
}
