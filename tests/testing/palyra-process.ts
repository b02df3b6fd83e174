// The command `palyra`, as people and service managers run it. A long-running command is a separate process, which does not
// outlive the program that started it. A short command runs in this process, because a start of Node costs more than most
// answers.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { oncePerFile } from './end-of-file.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { within } from './until.ts';

/** The owner that cleans up at the end: a test, or the tour. */
export interface Scope {
  after(end: () => Promise<void>): void;
}

/** One line that a command printed with --json: its answer, an event, or the failure. */
export interface Line {
  readonly event?: string;
  readonly error?: { readonly code: string; readonly message: string; readonly next_step?: string };
  // biome-ignore lint/suspicious/noExplicitAny: each command has its own fields, and a test names the ones it means
  readonly [field: string]: any;
}

export interface Ended {
  /** Null if a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lines: readonly Line[];
  readonly stdout: string;
  readonly stderr: string;
}

export interface PalyraOptions {
  readonly home: string;
  /** Its stdin; default: empty. */
  readonly stdin?: string;
  /** Command line prefix: a program that runs it. */
  readonly under?: readonly string[];
  /** The Node executable. Default: this one. */
  readonly program?: string;
  /** The command, as built by `buildPalyra`. Default: that of the current sources. */
  readonly palyra?: string;
  /** Time limit, after which it is killed. Default: 10 minutes. */
  readonly longestRunMs?: number;
  /** Options of Node. */
  readonly node?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** `npm test` builds it from the current sources, because it starts often. Otherwise the sources run directly. */
export const palyraProgram =
  process.env.PALYRA_TEST_PROGRAM ?? join(import.meta.dirname, '../../packages/cli/bin/palyra.js');

/** Default time limit of a run. */
const longestRunMs = 10 * 60_000;

export class PalyraProcess {
  /** Its output so far. */
  readonly lines: Line[] = [];
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #look: () => void = () => {};

  /** `palyra ARGS --json` */
  static start(args: readonly string[], { home, stdin, ...options }: PalyraOptions): PalyraProcess {
    const [program, ...words] = [
      ...(options.under ?? []),
      options.program ?? process.execPath,
      '--disable-warning=ExperimentalWarning',
      ...(options.node ?? []),
      options.palyra ?? palyraProgram,
      '--home',
      home,
      '--json',
      ...args,
    ];
    const child = spawn(program!, words, {
      stdio: 'pipe',
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? compiledFolder(),
        ...options.env,
      },
      timeout: options.longestRunMs ?? longestRunMs,
      killSignal: 'SIGKILL',
    });
    child.stdin.on('error', () => {});
    child.stdin.end(stdin ?? '');
    return new PalyraProcess(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    const killWithMe = () => child.kill('SIGKILL');
    process.on('exit', killWithMe);
    child.stdout!.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode, signal) => {
        process.off('exit', killWithMe);
        resolve({ exitCode, signal, lines: this.lines, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The first matching line, printed already or later. Rejects if the process ends without it. */
  async line(fits: (line: Line) => boolean): Promise<Line> {
    const { promise, resolve } = Promise.withResolvers<Line>();
    const before = this.#look;
    this.#look = () => {
      before();
      const found = this.lines.find(fits);
      if (found) resolve(found);
    };
    this.#look();
    const over = this.ended.then(({ exitCode, signal, stdout, stderr }) => {
      throw new Error(`palyra ended (${signal ?? exitCode}) before it said so: ${stdout}${stderr}`);
    });
    return within(
      () => `a line of palyra after ${this.#stdout}${this.#stderr}`,
      Promise.race([promise, over]),
    );
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Stops reading its output. */
  closeOutput(): void {
    this.#child.stdout!.destroy();
    this.#child.stderr!.destroy();
  }

  /** Sends the signal and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<Ended> {
    this.#child.kill(signal);
    return this.ended;
  }

  #take(text: string): void {
    const complete = this.#stdout.lastIndexOf('\n') + 1;
    this.#stdout += text;
    this.lines.push(...linesIn(this.#stdout.slice(complete)));
    this.#look();
  }
}

function linesIn(text: string): Line[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** Runs `palyra ARGS --json` to its end: in this process, unless an option is about one. */
export async function palyra(args: readonly string[], options: PalyraOptions): Promise<Ended> {
  const { home, stdin, ...aboutProcess } = options;
  if (Object.keys(aboutProcess).length > 0) return PalyraProcess.start(args, options).ended;
  const { exitCode, stdout, stderr } = await runRecorded({
    args: ['--home', home, '--json', ...args],
    userHome: homedir(),
    ...(stdin !== undefined && { input: stdin }),
  });
  return { exitCode, signal: null, lines: linesIn(stdout), stdout, stderr };
}

/** The single answer of a run that must succeed. */
export async function answer(args: readonly string[], options: PalyraOptions): Promise<Line> {
  const { exitCode, lines, stdout, stderr } = await palyra(args, options);
  assert.equal(exitCode, 0, `palyra ${args.join(' ')}: ${stdout}${stderr}`);
  return lines.at(-1)!;
}

/** The failure of a run that must fail with this code. @returns its message and next step, as a person reads them. */
export async function failure(
  run: Promise<Ended>,
  expected: { readonly code: string; readonly exitCode: number },
): Promise<string> {
  const { exitCode, lines, stdout, stderr } = await run;
  const error = lines.at(-1)?.error;
  assert.deepEqual({ code: error?.code, exitCode }, expected, `${stdout}${stderr}`);
  return [error!.message, error!.next_step].filter(Boolean).join(' ');
}

/** A folder (0700) with a `daemon/config.json` that uses free ports on this machine. */
export async function makeHome(_scope: Scope): Promise<string> {
  const home = temporaryFolder();
  await configure(home);
  return home;
}

export async function configure(home: string, config: object = {}): Promise<void> {
  await mkdir(join(home, 'daemon'), { recursive: true, mode: 0o700 });
  const here = { host: '127.0.0.1', port: 0 };
  await writeFile(
    join(home, 'daemon', 'config.json'),
    JSON.stringify({ pairing: here, node: here, quic: here, console: { enabled: false }, ...config }),
  );
}

/** The compile cache that all processes share, because compiling takes half of a start. */
const compiledFolder = oncePerFile(() => temporaryFolder());
