// Turns errors of the file system into errors with a next step.

import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';

/** Runs work. @throws STORE_FULL, STORE_PERMISSIONS, STORE_FAILED about this path; other errors are unchanged. */
export async function withFileErrors<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw fileError(path, error);
  }
}

function fileError(path: string, cause: unknown): unknown {
  if (cause instanceof IdentityError || !(cause instanceof Error) || !('code' in cause)) return cause;
  const at = 'path' in cause ? String(cause.path) : path;
  switch (cause.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new IdentityError(
        'STORE_FULL',
        `The disk of ${path} is full. Nothing was changed. Free some space and try again.`,
        { cause },
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new IdentityError(
        'STORE_PERMISSIONS',
        `This user may not use ${at} (${cause.code}). Check its owner and mode, and those of the folders above it.`,
        { cause },
      );
    default:
      return new IdentityError('STORE_FAILED', `${at} cannot be used: ${reasonOf(cause)}.`, { cause });
  }
}

export function unlessExists(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}

export function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
