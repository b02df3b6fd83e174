// Who may do what with a store's folder at one time: every open store holds the lock shared, and what moves or sweeps
// files (opening, rekey) takes it exclusively for a moment. SQLite's file lock is used because it is the kernel's: a
// killed process lets go of it, on every platform, and no stale lock has to be guessed at. The file stays empty.

import { lstat, open } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { IdentityError } from '../errors.ts';
import { checkPrivate, unlessMissing } from './private-file.ts';

const SQLITE_BUSY = 5;
const RETRY_MS = 50;
const MAX_RETRIES = 100;

export class StoreLock {
  readonly #path: string;
  readonly #database: DatabaseSync;

  private constructor(path: string, readOnly = false) {
    this.#path = path;
    try {
      this.#database = new DatabaseSync(path, { timeout: 0, readOnly });
    } catch (cause) {
      throw unusable(path, cause);
    }
  }

  static async open(path: string): Promise<StoreLock> {
    // SQLite would make it readable by others. An existing one is never opened here: closing any handle on it would
    // drop this process's locks.
    await open(path, 'wx', 0o600).then(
      (file) => file.close(),
      (error) => {
        if (error.code !== 'EEXIST') throw error;
      },
    );
    checkPrivate(path, await lstat(path), 'file');
    return new StoreLock(path);
  }

  /** For who only looks, and only ever holds it shared. Undefined where there is none: nobody has the store open. */
  static async openForReading(path: string): Promise<StoreLock | undefined> {
    const stats = await lstat(path).catch(unlessMissing);
    if (stats === undefined) return undefined;
    checkPrivate(path, stats, 'file');
    return new StoreLock(path, true);
  }

  /** True when nobody else holds it. Lets go of what was held before. */
  tryExclusive(): boolean {
    // A journal in memory: the lock must work on a full disk.
    return this.#try('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  }

  /** Waits until nobody holds it exclusively. Lets go of what was held before. @throws HOME_IN_USE after 5 s. */
  async shared(): Promise<void> {
    for (let retries = 0; !this.#try('BEGIN; SELECT 1 FROM sqlite_schema'); retries += 1) {
      if (retries === MAX_RETRIES)
        throw new IdentityError(
          'HOME_IN_USE',
          `Another process is changing the master key of the secret store (${this.#path}). Try again when it is done.`,
        );
      await setTimeout(RETRY_MS);
    }
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #try(begin: string): boolean {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#database.exec(begin);
      return true;
    } catch (cause) {
      if (cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY) return false;
      throw unusable(this.#path, cause);
    }
  }
}

function unusable(path: string, cause: unknown): IdentityError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new IdentityError(
    'STORE_FAILED',
    `The lock ${path} cannot be used (${reason}). It holds no data: with no process running, remove it and try again.`,
    { cause },
  );
}
