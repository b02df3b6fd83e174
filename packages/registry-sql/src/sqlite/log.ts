// The log of changes beside a SQLite file, and the proof that it is on the disk. SQLite writes the log without waiting
// for the disk, and this file waits instead, on a thread of Node's pool (docs/decisions/0018-sync-beside-calls.md).

import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { codeOf } from '@palyra/identity/values';

export class ChangeLog {
  readonly #path: string;
  readonly #file: FileHandle;
  #failure: IdentityError | undefined;

  /**
   * Opens the log of a registry that SQLite has open, and makes durable what it holds: a killed process may have left
   * changes in it that never reached the disk.
   * @throws STORE_FAILED
   */
  static async open(path: string): Promise<ChangeLog> {
    const log = new ChangeLog(path, await open(logOf(path), 'r+').catch((error) => failed(path, error)));
    try {
      // The log's name is durable too.
      await syncFile(dirname(path)).catch((error) => failed(path, error));
      await log.#file.datasync().catch((error) => failed(path, error));
    } catch (error) {
      await log.close();
      throw error;
    }
    return log;
  }

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /** Why nothing can be stored any more. */
  get failure(): IdentityError | undefined {
    return this.#failure;
  }

  /**
   * Resolves when every change that was committed before this call is on the disk. After one failure it always fails:
   * the system reports a lost write once, and then believes in it.
   * @throws STORE_OUTCOME_UNKNOWN
   */
  async sync(): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      await this.#file.datasync();
    } catch (cause) {
      this.#failure = diskFailed(this.#path, cause);
      throw new IdentityError(
        'STORE_OUTCOME_UNKNOWN',
        `The disk failed while it stored this change in the registry ${this.#path}, so a restart may find the change or not. Check the disk, then restart the daemon.`,
        { cause },
      );
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Makes durable what a reader sees, because its writer may not have done so yet. @throws STORE_FAILED */
export async function syncLogOf(path: string): Promise<void> {
  try {
    await syncFile(logOf(path));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') failed(path, error);
  }
}

/** SQLite locks the database and its index, but not the log: closing the log releases nothing. */
function logOf(path: string): string {
  return `${path}-wal`;
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}

function failed(path: string, cause: unknown): never {
  throw diskFailed(path, cause);
}

function diskFailed(path: string, cause: unknown): IdentityError {
  return new IdentityError(
    'STORE_FAILED',
    `The disk failed under the registry ${path}. Check the disk and its quota, then restart the daemon.`,
    { cause },
  );
}
