// A person at a terminal: runs a command on a pseudo-terminal, reads its screen and types keys. Uses util-linux
// `script`.

import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { stripVTControlCharacters } from 'node:util';
import type { Scope } from './palyra-process.ts';
import { within } from './until.ts';

/** False, or the reason to skip a test that needs a terminal. */
export const noTerminal = process.platform !== 'linux' && 'NOT TESTED: supports only the `script` of Linux';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const repository = join(import.meta.dirname, '../..');
const longestRunMs = 10 * 60_000;

export class Terminal {
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcessWithoutNullStreams;
  #output = '';
  #look: () => void = () => {};

  /** @param command for a shell, in the checkout. */
  static run(scope: Scope, command: string, { columns = 100, rows = 70 }: Partial<Size> = {}): Terminal {
    const sized = `tty; stty cols ${columns} rows ${rows}; exec ${command}`;
    const child = spawn('script', ['--quiet', '--return', '--command', sized, '/dev/null'], {
      cwd: repository,
      env: { ...process.env, SHELL: '/bin/sh', TERM: 'xterm-256color', NO_COLOR: '' },
      timeout: longestRunMs,
      killSignal: 'SIGKILL',
    });
    const terminal = new Terminal(child);
    scope.after(async () => {
      // The end of `script` hangs up the terminal of programs still running there.
      child.kill('SIGKILL');
      await terminal.ended;
    });
    return terminal;
  }

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on('error', () => {});
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
      this.#look();
    });
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
  }

  /** The output so far, as plain text. */
  get text(): string {
    return stripVTControlCharacters(this.#output).replaceAll('\r', '');
  }

  /** The output so far, with control sequences. */
  get output(): string {
    return this.#output;
  }

  /** The present window of a program that redraws it from the top left corner. */
  get screen(): string {
    const drawing = this.#output.slice(this.#output.lastIndexOf('\u001b[H'));
    return stripVTControlCharacters(drawing).replaceAll('\r', '').replaceAll('\u00a0', ' ');
  }

  /** Resolves when the output matches, now or later. Rejects if the command ends before that. */
  shows(what: RegExp): Promise<RegExpExecArray> {
    return this.#until(what, () => this.text);
  }

  /** Resolves when the present window matches. Rejects if the command ends before that. */
  showsNow(what: RegExp): Promise<RegExpExecArray> {
    return this.#until(what, () => this.screen);
  }

  async #until(what: RegExp, where: () => string): Promise<RegExpExecArray> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray>();
    this.#look = () => {
      const found = what.exec(where());
      if (found) resolve(found);
    };
    this.#look();
    const over = this.ended.then((exitCode) => {
      throw new Error(`it ended (${exitCode}) without showing ${what}:\n${where()}`);
    });
    return within(() => `${what} in\n${where()}`, Promise.race([promise, over]));
  }

  /** Resizes the terminal and signals the program, like a dragged window. */
  async resize({ columns, rows }: Size): Promise<void> {
    const [, device] = await this.shows(/^(\/dev\/\S+)/);
    execFileSync('stty', ['-F', device!, 'cols', String(columns), 'rows', String(rows)]);
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** @returns the exit code. */
  async pressCtrlC(): Promise<number | null> {
    this.type('\u0003');
    return this.ended;
  }
}
