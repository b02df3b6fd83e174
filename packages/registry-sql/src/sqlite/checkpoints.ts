// Copies the log of changes into the database, on a thread of its own, because each copy syncs the disk several times
// (sqlite.org/wal.html, "Checkpointing"). Changes go on during the long part. Then they wait a moment, and the log begins
// anew: SQLite does that, and one more sync, in the first change after a full copy, so the thread makes one too.

import { Worker } from 'node:worker_threads';
import type { SqliteConnection } from './connection.ts';

/** Length of the log at which it is copied, bytes. */
const COPIED_BYTES = 16 * 1024 * 1024;
const PAGE_BYTES = 4096;
const LOG_PAGES = COPIED_BYTES / PAGE_BYTES;
/** Most bytes that the log keeps on the disk after readers let it grow. */
const LOG_BYTES = 64 * 1024 * 1024;
/** Longest wait for readers in other processes. Changes wait too. */
const READERS_MS = 100;

const copyingThread = `
const { parentPort, workerData } = require('node:worker_threads');
const { DatabaseSync } = require('node:sqlite');
// While this reader needs the log, a change after a full copy does not begin it anew.
const reader = new DatabaseSync(workerData.path, { readOnly: true });
reader.exec('BEGIN; SELECT 1 FROM sqlite_schema');
const database = new DatabaseSync(workerData.path, { timeout: workerData.readersMs });
database.exec('PRAGMA synchronous = NORMAL; PRAGMA fullfsync = ON; PRAGMA wal_autocheckpoint = 0');
database.exec('PRAGMA journal_size_limit = ' + workerData.logBytes);
database.exec('PRAGMA wal_checkpoint(PASSIVE)');
parentPort.once('message', () => {
  reader.close();
  const { busy } = database.prepare('PRAGMA wal_checkpoint(RESTART)').get();
  // A change without an effect.
  if (!busy) database.exec('PRAGMA user_version = 0');
  database.close();
});
parentPort.postMessage('copied');
`;

interface Copy {
  readonly thread: Worker;
  readonly ended: Promise<void>;
  /** It waits for `finish`. */
  isWaiting: boolean;
}

export class Checkpoints {
  readonly #connection: SqliteConnection;
  readonly #onWaiting: () => void;
  readonly #onError: (error: unknown) => void;
  #copy: Copy | undefined;
  #nextAtPages = LOG_PAGES;

  /**
   * @param options.onWaiting is called when a copy waits for the end of the running change.
   * @param options.onError gets errors of a copy. It is repeated later; the log keeps every change.
   */
  constructor(
    connection: SqliteConnection,
    options: { readonly onWaiting: () => void; readonly onError: (error: unknown) => void },
  ) {
    this.#connection = connection;
    this.#onWaiting = options.onWaiting;
    this.#onError = options.onError;
  }

  /** Whether a copy waits for `betweenChanges`. */
  get isWaiting(): boolean {
    return this.#copy?.isWaiting ?? false;
  }

  /** Begins a copy if it is time. Ends one that waits: then the next change must wait for the promise. */
  betweenChanges(): Promise<void> | undefined {
    if (this.isWaiting) return this.#finish();
    if (!this.#copy && this.#connection.logPages >= this.#nextAtPages) this.#begin();
    return undefined;
  }

  /** No change may run. */
  async close(): Promise<void> {
    await this.#finish();
  }

  #begin(): void {
    const thread = new Worker(copyingThread, {
      eval: true,
      // Nothing that the process was started with, such as a module to import first.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      workerData: { path: this.#connection.path, readersMs: READERS_MS, logBytes: LOG_BYTES },
    });
    thread.unref();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const copy: Copy = { thread, ended, isWaiting: false };
    this.#copy = copy;
    thread.once('message', () => {
      copy.isWaiting = true;
      this.#onWaiting();
    });
    thread.once('error', this.#onError);
    thread.once('exit', () => {
      this.#copy = undefined;
      // A reader in another process, or an error, may have kept the log.
      const { logPages } = this.#connection;
      this.#nextAtPages = logPages < LOG_PAGES ? LOG_PAGES : logPages + LOG_PAGES;
      end();
    });
  }

  async #finish(): Promise<void> {
    const copy = this.#copy;
    if (!copy) return;
    copy.isWaiting = false;
    // Changes wait for it, so the process must not end before.
    copy.thread.ref();
    copy.thread.postMessage('finish');
    await copy.ended;
  }
}
