// Turns the errors of SQLite into those of the registry port (sqlite.org/rescode.html).

import { IdentityError } from '@palyra/identity';

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_CONSTRAINT = 19;
const SQLITE_NOTADB = 26;
/** The shared-memory file could not grow because the disk is full. */
const SQLITE_IOERR_SHMSIZE = 4874;

/** Returns other errors unchanged. */
export function storeError(error: unknown, path: string): unknown {
  const code = resultCode(error);
  if (code === undefined) return error;
  const full = code === SQLITE_FULL || code === SQLITE_IOERR_SHMSIZE;
  return new IdentityError(full ? 'STORE_FULL' : 'STORE_FAILED', message(code, full, path), { cause: error });
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

function message(code: number, full: boolean, path: string): string {
  if (full) {
    return `The disk of the registry ${path} is full. This change was not made. Free some space and try again.`;
  }
  // The low byte is the kind of error; the other bytes add detail.
  switch (code & 0xff) {
    case SQLITE_BUSY:
      return `Another process holds the registry ${path}. Stop it (see: fuser ${path}), or wait for it to end.`;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return `The registry ${path} is damaged or is not a registry. Stop the daemon and restore it from a backup.`;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return `The registry ${path} cannot be opened for writing. Check that this user owns the file and its folder.`;
    case SQLITE_IOERR:
      return `The disk failed under the registry ${path}. Check the disk and its quota, then restart the daemon.`;
    case SQLITE_CONSTRAINT:
      return `The registry ${path} refused a row that contradicts another; nothing was changed. Please report this.`;
    default:
      return `The registry ${path} failed (SQLite code ${code}). Restart the daemon. If the problem persists, restore a backup.`;
  }
}
