// A lock on a file, which a process holds until it ends. It uses SQLite's locks, which the kernel manages: on every
// platform, the lock of a killed process is released, and there are no stale locks. The file stays empty.
//
// Every open secret store holds its lock shared. Operations that move or remove files (opening, rekey) hold it
// exclusively for a moment. A running daemon or agent holds the lock of its home exclusively.

import { lstatSync, type Stats } from 'node:fs';
import { lstat, open, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import process from 'node:process';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { IdentityError } from '../errors.ts';
import { reasonOf } from '../reason.ts';
import { checkPrivate, makeFolder, unlessMissing, withStoreErrors } from '../secret-store/private-file.ts';

const SQLITE_BUSY = 5;
const RETRY_MS = 50;
const MAX_RETRIES = 100;

export class FileLock {
  readonly #path: string;
  readonly #stats: Stats;
  readonly #database: DatabaseSync;

  /** @param stats of the file before it is opened, to detect a file that is replaced meanwhile. */
  private constructor(path: string, stats: Stats, readOnly = false) {
    this.#path = path;
    this.#stats = stats;
    try {
      this.#database = new DatabaseSync(path, { timeout: 0, readOnly });
    } catch (cause) {
      throw unusable(path, cause);
    }
  }

  static async open(path: string): Promise<FileLock> {
    // SQLite would create a file that others can read. An existing file is never opened here: closing any handle on it
    // would release this process's locks.
    await open(path, 'wx', 0o600).then(
      (file) => file.close(),
      (error) => {
        if (error.code !== 'EEXIST') throw error;
      },
    );
    const stats = await lstat(path);
    checkPrivate(path, stats, 'file');
    return new FileLock(path, stats);
  }

  /** Opens a lock for shared use by a reader. Undefined if there is no lock file: then nobody has the store open. */
  static async openForReading(path: string): Promise<FileLock | undefined> {
    const stats = await lstat(path).catch(unlessMissing);
    if (stats === undefined) return undefined;
    checkPrivate(path, stats, 'file');
    return new FileLock(path, stats, true);
  }

  /**
   * Releases the present lock and tries to lock exclusively. True if nobody else holds the lock and the file is in
   * place.
   */
  tryExclusive(): boolean {
    // The journal is in memory, because the lock must work on a full disk.
    return this.#try('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE') && this.#isInPlace();
  }

  /** Releases the present lock and waits for a shared one. @throws HOME_IN_USE after 5 s. */
  async shared(): Promise<void> {
    for (let retries = 0; !this.#try('BEGIN; SELECT 1 FROM sqlite_schema'); retries += 1) {
      if (retries === MAX_RETRIES)
        throw new IdentityError(
          'HOME_IN_USE',
          `Another process is changing the master key of the secret store (${this.#path}). Try again after that.`,
        );
      await setTimeout(RETRY_MS);
    }
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  /** The previous holder may have removed the file. Then another process can hold the file that is there now. */
  #isInPlace(): boolean {
    const present = lstatSync(this.#path, { throwIfNoEntry: false });
    return present?.ino === this.#stats.ino && present.dev === this.#stats.dev;
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

/** Takes an exclusive lock. @returns undefined if another process has it. */
export async function takeAlone(path: string): Promise<FileLock | undefined> {
  const lock = await FileLock.open(path);
  if (lock.tryExclusive()) return lock;
  lock.close();
  return undefined;
}

/**
 * As `takeAlone`, and creates a missing folder. A file beside the lock, with `.json` after its name, tells people which
 * process holds it.
 * @param inUse makes the error from the holder: "process id 7, since 2026-…", or "another process".
 * @throws also STORE_FULL, STORE_PERMISSIONS, STORE_FAILED.
 */
export function takeByName(path: string, inUse: (holder: string) => IdentityError): Promise<FileLock> {
  return withStoreErrors(path, async () => {
    await makeFolder(dirname(path));
    const holder = `${path}.json`;
    const lock = await takeAlone(path);
    if (!lock) throw inUse(holderIn(await readFile(holder, 'utf8').catch(() => '')));
    try {
      const self = { pid: process.pid, since: new Date().toISOString() };
      await writeFile(holder, JSON.stringify(self), { mode: 0o600 });
      return lock;
    } catch (error) {
      lock.close();
      throw error;
    }
  });
}

function holderIn(text: string): string {
  const [pid, since] = [/"pid":([0-9]+)/.exec(text)?.[1], /"since":"([^"]+)"/.exec(text)?.[1]];
  return pid ? `process id ${pid}, since ${since}` : 'another process';
}

function unusable(path: string, cause: unknown): IdentityError {
  return new IdentityError(
    'STORE_FAILED',
    `The lock ${path} cannot be used: ${reasonOf(cause)}. It holds no data: with no process running, remove it and try again.`,
    { cause },
  );
}
