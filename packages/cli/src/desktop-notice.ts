// Desktop notifications of devices that ask to pair: notify-send on Linux, osascript on macOS. Texts from the device, such as its
// name, are shown as text and never as markup, options or script. A notification does not contain the words: the operator compares
// them where the decision is made.

import { execFile } from 'node:child_process';
import { reasonOf } from '@palyra/identity/values';
import { continuities, deviceKinds, type Pairing } from '@palyra/rpc/admin';
import { pause } from './interruption.ts';
import { printable } from './printable.ts';

export interface DesktopNoticesOptions {
  /** The environment, which must lead to the person's desktop. */
  readonly environment: NodeJS.ProcessEnv;
  /** The command with which the person decides. */
  readonly command: string;
  /** Called when a notification cannot be shown; not again until one was shown. */
  readonly onProblem: (why: string) => void;
}

const timeoutMs = 10_000;
/** Requests that arrive within this time after a notification share the next one. */
const restMs = 2_000;

export class DesktopNotices {
  readonly #options: DesktopNoticesOptions;
  readonly #end = new AbortController();
  /** The first request since the last notification, and the number of requests. */
  #waiting: { readonly first: Pairing; readonly count: number } | undefined;
  #isRunning = false;
  #hasFailed = false;

  constructor(options: DesktopNoticesOptions) {
    this.#options = options;
  }

  /** Never throws and never waits. */
  take(request: Pairing): void {
    this.#waiting = { first: this.#waiting?.first ?? request, count: (this.#waiting?.count ?? 0) + 1 };
    if (!this.#isRunning) void this.#run();
  }

  /** Ends notifications in progress. */
  close(): void {
    this.#end.abort();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    const { signal } = this.#end;
    while (this.#waiting && !signal.aborted) {
      const { first, count } = this.#waiting;
      this.#waiting = undefined;
      try {
        await show(noticeOf(first, count, this.#options.command), this.#options.environment, signal);
        this.#hasFailed = false;
      } catch (error) {
        if (!signal.aborted && !this.#hasFailed) this.#options.onProblem(reasonOf(error));
        this.#hasFailed = true;
      }
      await pause(restMs, signal);
    }
    this.#isRunning = false;
  }
}

export interface DesktopNotice {
  readonly title: string;
  /** Lines of plain text. */
  readonly text: string;
}

function noticeOf({ device }: Pairing, count: number, command: string): DesktopNotice {
  const next = `Compare the three words before you approve: ${command}`;
  if (count > 1 || !device) return { title: `${count} devices ask to pair`, text: next };
  const { name, kind, source, continuity } = device;
  const isChanged = continuities.show(continuity) === 'another_key';
  return {
    title: isChanged ? 'A known device asks to pair WITH ANOTHER KEY' : 'A device asks to pair',
    text: `${printable(name)}\n${deviceKinds.show(kind)}, from ${printable(source)}\n${next}`,
  };
}

/** @returns the program with its arguments. */
export function commandFor(
  platform: NodeJS.Platform,
  { title, text }: DesktopNotice,
): readonly [string, ...string[]] {
  // The script gets the texts as arguments, so they are never executed.
  const script = 'on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run';
  return platform === 'darwin'
    ? ['osascript', '-e', script, title, text]
    : ['notify-send', '--app-name=Palyra', '--', title, forNotifySend(text)];
}

/** The body is markup for the desktop, and notify-send itself reads escapes like `\n` in it. */
const forNotifySend = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\\', '\\\\');

function show(notice: DesktopNotice, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const [program, ...args] = commandFor(process.platform, notice);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const options = { env, signal, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 } as const;
  execFile(program, args, options, (error, _, said) => {
    if (!error) resolve();
    else if (error.code === 'ENOENT') reject(new Error(`${program} is not installed`));
    else if (error.killed) reject(new Error(`${program} did not end within ${timeoutMs / 1000} s`));
    else
      reject(new Error(`${program} failed: ${said.trim().split('\n').at(-1) || `exit code ${error.code}`}`));
  });
  return promise;
}
