// Backups that the daemon makes by itself: a new file in a folder from time to time, and the oldest ones removed once a newer one
// is complete. The files' names are the only record, so a restart neither repeats nor forgets a backup.

import { rm, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { IdentityError } from '@palyra/identity';
import { checkStrength } from '@palyra/identity/keys';
import { type Clock, reasonOf } from '@palyra/identity/values';
import type { DaemonConfig } from '../config.ts';
import { withSetting } from '../setting.ts';
import { backUpOwn, type DaemonState, SCRYPT_LOG_N } from './backup.ts';
import { BackupFolder, type BackupInFolder } from './backup-folder.ts';
import { type BackupKey, checkRecipients } from './backup-key.ts';
import { withFileErrors } from './file-error.ts';
import { readPassphrase } from './master-key.ts';

export type BackupConfig = NonNullable<DaemonConfig['backup']>;

/** Time after a failure until the next attempt, unless the next backup is due earlier, ms. */
const retryMs = 15 * 60_000;
/** Time for a running backup to end when the daemon stops, ms. */
const closeMs = 5_000;

export interface ScheduledBackup extends BackupInFolder {
  readonly bytes: number;
}

export interface BackupScheduleOptions {
  readonly config: BackupConfig;
  readonly daemonId: string;
  readonly state: DaemonState;
  readonly clock: Clock;
  readonly onError: (error: unknown, where: string) => void;
  /** Counts a backup that was made, or failed. */
  readonly onEnd?: (isMade: boolean, made?: ScheduledBackup) => void;
  /** Default 18; lower values only for tests. */
  readonly scryptLogN?: number;
}

export class BackupSchedule {
  readonly #options: BackupScheduleOptions;
  readonly #stop = new AbortController();
  readonly #folder: BackupFolder;
  #last: ScheduledBackup | undefined;
  #problem: IdentityError | undefined;
  #dueAtMs = 0;
  #running: Promise<void> | undefined;
  /** The passphrase that was found strong. Estimating it loads dictionaries. */
  #strong: string | undefined;

  /** Looks for the newest backup in the folder. A folder that cannot be read is a problem, not an error. */
  static async open(options: BackupScheduleOptions): Promise<BackupSchedule> {
    const schedule = new BackupSchedule(options);
    await schedule.#find();
    return schedule;
  }

  private constructor(options: BackupScheduleOptions) {
    this.#options = options;
    this.#folder = new BackupFolder(options.config.folder, options.daemonId);
  }

  get folder(): string {
    return this.#folder.path;
  }

  /** The newest complete backup in the folder. */
  get last(): ScheduledBackup | undefined {
    return this.#last;
  }

  get nextAt(): Date {
    return new Date(this.#dueAtMs);
  }

  /** Why the last attempt failed; undefined after a success. */
  get problem(): IdentityError | undefined {
    return this.#problem;
  }

  /** Starts a backup if it is time. Does not wait for it. */
  runIfDue(): void {
    if (this.#options.clock.now().getTime() >= this.#dueAtMs) void this.run();
  }

  /** Makes a backup now, or waits for the one that is being made. Never rejects: `problem` says what is wrong. */
  run(): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    this.#running ??= this.#make().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Ends a backup, which leaves no file. Does not wait for a disk that hangs. */
  async close(): Promise<void> {
    this.#stop.abort();
    if (this.#running) await Promise.race([this.#running, setTimeout(closeMs, undefined, { ref: false })]);
  }

  async #find(): Promise<void> {
    const { config, clock, onError } = this.#options;
    const now = clock.now().getTime();
    try {
      const newest = (await this.#folder.list()).at(-1);
      if (newest) {
        const { size } = await stat(newest.file);
        this.#last = { ...newest, bytes: size };
      }
      // A backup from the future was made by a clock that was ahead.
      const atMs = newest?.at.getTime() ?? Number.NEGATIVE_INFINITY;
      this.#dueAtMs = atMs <= now ? Math.max(0, atMs + config.everyMs) : now;
    } catch (error) {
      this.#problem = failed(error);
      onError(this.#problem, 'the scheduled backup');
    }
  }

  async #make(): Promise<void> {
    const { config, state, clock, onError, onEnd } = this.#options;
    const { signal } = this.#stop;
    const now = clock.now();
    const file = this.#folder.fileOf(now);
    try {
      await backUpOwn(state, file, await this.#key(), { now, signal });
      const { size } = await stat(file);
      this.#last = { file, at: now, bytes: size };
      this.#problem = undefined;
      onEnd?.(true, this.#last);
      await this.#removeOld(file);
      this.#dueAtMs = now.getTime() + config.everyMs;
    } catch (error) {
      if (signal.aborted) return;
      this.#dueAtMs = now.getTime() + Math.min(retryMs, config.everyMs);
      this.#problem = failed(error);
      onEnd?.(false);
      onError(this.#problem, 'the scheduled backup');
    }
  }

  /** Read each time, because the file may be replaced while the daemon runs. */
  async #key(): Promise<BackupKey> {
    const { config, scryptLogN = SCRYPT_LOG_N } = this.#options;
    const { recipients } = config;
    if (recipients) {
      await withSetting('backup.recipients', () => checkRecipients(recipients));
      return { recipients };
    }
    const passphrase = await readBackupPassphrase(config);
    if (passphrase !== this.#strong)
      await withSetting('backup.passphraseFile', () => checkStrength(passphrase));
    this.#strong = passphrase;
    return { passphrase, scryptLogN };
  }

  /** A backup that cannot be removed is reported. The new one is complete all the same. */
  async #removeOld(kept: string): Promise<void> {
    const { config, onError } = this.#options;
    try {
      const others = (await this.#folder.list()).filter(({ file }) => file !== kept);
      for (const { file } of others.slice(0, Math.max(0, others.length - (config.keep - 1))))
        await withFileErrors(file, () => rm(file));
    } catch (error) {
      onError(error, 'removing old backups');
    }
  }
}

function readBackupPassphrase({ passphraseFile = '' }: BackupConfig): Promise<string> {
  return withSetting('backup.passphraseFile', () => readPassphrase(passphraseFile));
}

/** Checks what a start can check: the passphrase or the recipients. @throws PASSPHRASE_WEAK, MESSAGE_INVALID, STORE_FAILED */
export async function checkBackupKey(config: BackupConfig): Promise<void> {
  const { recipients } = config;
  if (recipients) return withSetting('backup.recipients', () => checkRecipients(recipients));
  const passphrase = await readBackupPassphrase(config);
  await withSetting('backup.passphraseFile', () => checkStrength(passphrase));
}

function failed(cause: unknown): IdentityError {
  const told = cause instanceof IdentityError ? cause : undefined;
  return new IdentityError(
    told?.code ?? 'STORE_FAILED',
    `The scheduled backup failed: ${told?.message ?? reasonOf(cause)}`,
    { cause },
  );
}
