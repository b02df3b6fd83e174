// Keeps the files for other programs current, and tells those programs: what fails is tried again soon, because the
// certificate that they have will end.

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
  /** The files, or the command after them; another try follows. */
  | { readonly state: 'files_failed' | 'hook_failed'; readonly error: unknown; readonly retryInMs: number };

export interface CredentialKeeperOptions {
  /** Where the files are. */
  readonly folder: string;
  /** Run in a shell after each change, whoever made it, until it succeeds. */
  readonly command?: string | undefined;
  /** All that the command gets to see of it. */
  readonly environment: NodeJS.ProcessEnv;
  /** Called with each change of state. Default: nobody is told. */
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

  /** A newer certificate. */
  take(enrollment: PairedEnrollment): void {
    this.#wanted = enrollment;
    this.#changed.abort();
  }

  /** Ends the command as well, if it runs: it is run again the next time. */
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
      await this.#tell(written.folder);
    } catch (error) {
      return { state: 'hook_failed', error } as const;
    }
    return undefined;
  }

  /** Runs the command unless it has succeeded with these files before, in this process or an earlier one. */
  async #tell(files: string): Promise<void> {
    const { command, environment, onState } = this.#options;
    if (command === undefined) return;
    const mark = join(files, 'told');
    const told = createHash('sha256').update(command).digest('hex');
    if ((await readFile(mark, 'utf8').catch(() => '')) === told) return;
    await runHook(command, environment, this.#end.signal);
    onState({ state: 'hook_done' });
    // Without the mark the command runs once more at the next start, which it has to bear.
    await writeFile(mark, told).catch(() => {});
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
