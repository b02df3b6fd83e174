// Turns the errors of PostgreSQL and of its connection into those of the registry port
// (postgresql.org/docs/current/errcodes-appendix.html).

import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';

/** Try again after this time, ms. */
const retryAfterMs = 1000;

/** The SQLSTATE of a lock that another transaction holds for longer than this session waits. */
export const lockNotAvailable = '55P03';

/** The connection ended before the answer. The server may have executed the statement. */
export class ConnectionLost extends Error {
  constructor(cause: unknown) {
    super('the connection to the database was lost', { cause });
    this.name = 'ConnectionLost';
  }
}

/** @param name of the database. Returns errors of other kinds unchanged. */
export function storeError(error: unknown, name: string): unknown {
  if (error instanceof IdentityError) return error;
  if (error instanceof ConnectionLost) return unreachable(name, 'the connection was lost', error);
  if (!(error instanceof Error)) return error;
  const state = sqlState(error);
  if (state === undefined) return 'syscall' in error ? unreachable(name, reasonOf(error), error) : error;
  return fromState(state, error, name);
}

/** The five characters of SQLSTATE; undefined for an error that the server did not send. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  return typeof severity === 'string' && typeof code === 'string' ? code : undefined;
}

function fromState(state: string, cause: Error, name: string): IdentityError {
  const failed = (code: 'STORE_FAILED' | 'STORE_FULL' | 'STORE_PERMISSIONS', message: string) =>
    new IdentityError(code, message, { cause });
  // The server's own words stay in `cause`: they may be in any language.
  switch (state) {
    case '53100':
      return failed(
        'STORE_FULL',
        `The disk of the database ${name} is full. This change was not made. Free some space and try again.`,
      );
    case '28P01':
    case '28000':
      return failed(
        'STORE_PERMISSIONS',
        `The database ${name} refuses the user or the password (SQLSTATE ${state}). Check both in the file with the URL, and pg_hba.conf of the server.`,
      );
    case '3D000':
      return failed('STORE_FAILED', `There is no database ${name}. Create it, owned by the user in the URL.`);
    case '42501':
      return failed(
        'STORE_PERMISSIONS',
        `The user of the database ${name} lacks a right (SQLSTATE ${state}). Let the owner of the tables grant it: palyra registry prepare (docs/fleet.md).`,
      );
    case '25006':
      return unreachable(name, 'it is read-only now: a standby, or a primary that steps down', cause);
    case lockNotAvailable:
      return unreachable(name, 'another daemon held the registry for too long', cause);
    case '57014':
      return unreachable(name, 'it took too long', cause);
    case '53300':
      return unreachable(name, 'it has no connection left', cause);
  }
  switch (state.slice(0, 2)) {
    // Connections; resources; an operator's interventions; deadlocks; transactions that were ended.
    case '08':
    case '53':
    case '57':
    case '40':
    case '25':
      return unreachable(name, `it refuses work at the moment (SQLSTATE ${state})`, cause);
    case '23':
      return failed(
        'STORE_FAILED',
        `The database ${name} refused a row that contradicts another; nothing was changed. Please report this.`,
      );
    case 'XX':
      return failed('STORE_FAILED', `The database ${name} is damaged (SQLSTATE ${state}). Restore it.`);
    default:
      return failed(
        'STORE_FAILED',
        `The database ${name} failed (SQLSTATE ${state}); nothing was changed. Its log says more.`,
      );
  }
}

export function unreachable(name: string, why: string, cause?: unknown): IdentityError {
  return new IdentityError(
    'STORE_UNREACHABLE',
    `The database ${name} cannot be used now: ${why}. Nothing was changed. Try again.`,
    { cause, retryAfterMs },
  );
}
