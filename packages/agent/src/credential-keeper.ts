// Keeps the files for other programs up to date and runs the command after a change. Failures are retried soon, because
// the certificate of those programs will expire.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PairedEnrollment } from '@palyra/identity/device';
import { writeCredentialFiles } from './credential-files.ts';
import { runHook } from './hook.ts';

export type CredentialFilesState =
  | { readonly state: 'files_changed' }
  | { readonly state: 'hook_done' }
  /** Writing the files, or the command after it, failed; a retry follows. */
  | { readonly state: 'files_failed' | 'hook_failed'; readonly error: unknown; readonly retryInMs: number };

export interface CredentialKeeperOptions {
  /** The folder with the files. */
  readonly folder: string;
  /** Runs in a shell after each change of the files, and again until it succeeds. */
  readonly command?: string | undefined;
  /** The whole environment of the command. */
  readonly environment: NodeJS.ProcessEnv;
  /** Called with each change of state. Default: none. */
  readonly onState: (state: CredentialFilesState) => void;
  /** First wait after a failure, ms; doubled up to 64 times this. Default 1000. */
  readonly retryMs?: number;
}

const firstRetryMs = 1_000;
const maxDoublings = 6;

export class CredentialKeeper {
  readonly #options: CredentialKeeperOptions;
  readonly #end = new AbortController();
  #wanted: PairedEnrollment;
  #changed = new AbortController();
  readonly #ended: Promise<void>;

  constructor(enrollment: PairedEnrollment, options: CredentialKeeperOptions) {
    this.#options = options;
    this.#wanted = enrollment;
    this.#ended = this.#keep();
  }

  /** Takes a newer certificate. */
  take(enrollment: PairedEnrollment): void {
    this.#wanted = enrollment;
    this.#changed.abort();
  }

  /** Also ends a running command; it runs again next time. */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.#ended;
  }

  async #keep(): Promise<void> {
    const end = this.#end.signal;
    for (let failures = 0; !end.aborted; ) {
      this.#changed = new AbortController();
      const isOver = AbortSignal.any([end, this.#changed.signal]);
      const failed = await this.#bringUpToDate();
      if (end.aborted) return;
      if (!failed) {
        failures = 0;
        await aborted(isOver);
        continue;
      }
      const retryInMs = (this.#options.retryMs ?? firstRetryMs) * 2 ** failures;
      failures = Math.min(failures + 1, maxDoublings);
      this.#options.onState({ ...failed, retryInMs });
      await sleep(retryInMs, undefined, { signal: isOver }).catch(() => {});
    }
  }

  async #bringUpToDate() {
    const { folder, onState } = this.#options;
    let written: Awaited<ReturnType<typeof writeCredentialFiles>>;
    try {
      written = await writeCredentialFiles(folder, this.#wanted);
      if (written.isNew) onState({ state: 'files_changed' });
    } catch (error) {
      return { state: 'files_failed', error } as const;
    }
    try {
      await this.#notifyHook(written.folder);
    } catch (error) {
      return { state: 'hook_failed', error } as const;
    }
    return undefined;
  }

  /** Runs the command, unless it has already succeeded with these files, in this process or an earlier one. */
  async #notifyHook(files: string): Promise<void> {
    const { command, environment, onState } = this.#options;
    if (command === undefined) return;
    const mark = join(files, 'told');
    const told = createHash('sha256').update(command).digest('hex');
    if ((await readFile(mark, 'utf8').catch(() => '')) === told) return;
    await runHook(command, environment, this.#end.signal);
    onState({ state: 'hook_done' });
    // If the mark is missing, the command runs once more at the next start, which is harmless.
    await writeFile(mark, told).catch(() => {});
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
