// The failures of the command itself, and the outcome of every failure: exit code, stable code, message.

import {
  type ErrorFamily,
  familyOf,
  IdentityError,
  type IdentityErrorCode,
  isErrorCode,
} from '@palyra/identity/errors';
import { reasonOf, refusalOf } from '@palyra/identity/values';

export type CliErrorCode =
  /** Invalid arguments or options. */
  | 'USAGE'
  /** The command must ask a question and has no terminal. */
  | 'NO_TERMINAL'
  /** The person answered no. */
  | 'CANCELLED'
  /** A named file cannot be read or written. */
  | 'FILE_FAILED'
  /** `palyra doctor` found a problem. */
  | 'UNHEALTHY'
  /** `--timeout` passed without a decision. */
  | 'TIMED_OUT'
  /** Ctrl-C. */
  | 'INTERRUPTED'
  | 'TERMINATED';

/** An error of the command. Unlike the library's errors, its message also says what to do next. */
export class CliError extends Error {
  readonly code: CliErrorCode | IdentityErrorCode;

  constructor(code: CliErrorCode | IdentityErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
    this.code = code;
  }
}

/** @param done the operation that failed. */
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
  7  nobody answers, or the device is not connected
  130, 143  interrupted (Ctrl-C), terminated`;

/** The short form for the help of one command. */
export const exitCodeLine =
  'Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 wrong state or not found,\n5 limit or timeout, 6 disk or store, 7 nobody answers, 130 and 143 interrupted';

const { failure, usage, refused, conflict, limit, store, unreachable } = exitCodes;

const own: Readonly<Record<CliErrorCode, number>> = {
  USAGE: usage,
  NO_TERMINAL: usage,
  CANCELLED: failure,
  FILE_FAILED: failure,
  UNHEALTHY: failure,
  TIMED_OUT: limit,
  INTERRUPTED: exitCodes.interrupted,
  TERMINATED: exitCodes.terminated,
};

const byFamily: Readonly<Record<ErrorFamily, number>> = {
  invalid: usage,
  unauthenticated: refused,
  refused,
  missing: conflict,
  conflict,
  limit,
  capability: failure,
  store,
  unreachable,
  internal: failure,
};

const exceptions: Readonly<Partial<Record<IdentityErrorCode, number>>> = {
  // The store works, and `audit verify` found a broken log.
  AUDIT_BROKEN: failure,
  // This machine lacks the QUIC library. The peer may be reachable.
  QUIC_UNAVAILABLE: failure,
  // A script can distinguish an absent device, an unknown capability, and a call that is worth repeating.
  DEVICE_NOT_CONNECTED: unreachable,
  DEVICE_BUSY: limit,
  CAPABILITY_UNKNOWN: conflict,
  CAPABILITY_TIMEOUT: limit,
};

export function exitCodeOf(code: IdentityErrorCode | CliErrorCode): number {
  return isErrorCode(code) ? (exceptions[code] ?? byFamily[familyOf(code)]) : own[code];
}

/** The outcome of a run that failed. */
export interface Failure {
  readonly exitCode: number;
  readonly code: string;
  readonly message: string;
  readonly retryAfterMs?: number;
  /** Absent where the message already says what to do. */
  readonly nextStep?: string;
  /** Only for a bug. */
  readonly stack?: string;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof IdentityError || error instanceof CliError) {
    const { code, message } = error;
    const retryAfterMs = error instanceof IdentityError ? error.retryAfterMs : undefined;
    return { exitCode: exitCodeOf(code), code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
  const refused = refusalOf(error);
  if (refused) return { exitCode: own.FILE_FAILED, code: 'FILE_FAILED', message: refused };
  const stack = error instanceof Error ? error.stack : undefined;
  return {
    exitCode: failure,
    code: 'INTERNAL',
    message: `An internal error occurred in palyra: ${reasonOf(error)}. Please report it.`,
    ...(stack !== undefined && { stack }),
  };
}
