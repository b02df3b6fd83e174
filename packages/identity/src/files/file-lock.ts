// A lock on a file, held by a process for as long as it lives. It is SQLite's, because that is the kernel's: a killed process
// lets go of it, on every platform, and no stale lock has to be guessed at. The file stays empty.
//
// Of a secret store: every open one holds it shared, and what moves or sweeps files (opening, rekey) takes it exclusively for
// a moment. Of a home or an agent: whoever runs has it alone.

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

  /** @param stats of the file, from before it is opened: one that is replaced meanwhile is found out. */
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
    // SQLite would make it readable by others. An existing one is never opened here: closing any handle on it would
    // drop this process's locks.
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

  /** For who only looks, and only ever holds it shared. Undefined where there is none: nobody has the store open. */
  static async openForReading(path: string): Promise<FileLock | undefined> {
    const stats = await lstat(path).catch(unlessMissing);
    if (stats === undefined) return undefined;
    checkPrivate(path, stats, 'file');
    return new FileLock(path, stats, true);
  }

  /** True when nobody else holds it, and others would find it at its path. Lets go of what was held before. */
  tryExclusive(): boolean {
    // A journal in memory: the lock must work on a full disk.
    return this.#try('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE') && this.#isInPlace();
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

  /** Whoever had it before may have removed it: then another process can have the file that is there now. */
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

/** Takes what one process at a time may have. @returns undefined when another has it. */
export async function takeAlone(path: string): Promise<FileLock | undefined> {
  const lock = await FileLock.open(path);
  if (lock.tryExclusive()) return lock;
  lock.close();
  return undefined;
}

/**
 * As `takeAlone`, in a folder that is made where there is none. A file beside it, with `.json` after its name, tells people
 * who has it.
 * @param inUse the error to throw, given who that is: "process id 7, since 2026-…", or "another process".
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
