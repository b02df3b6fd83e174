// Runs test files in processes with their own sessions. Each run always ends: a file that reports nothing for too long is killed,
// with its process and everything that it started.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { FileInTurn } from './files-in-turn.ts';
import { leftBy, remove } from './left-behind.ts';
import { type Family, type FoundProcess, killAll, livingAfter, markerVariable } from './processes.ts';
import { type TestEvent, TestEvents } from './test-events.ts';

export interface Bounds {
  /** Longest silence while a test runs, which limits a single test. */
  readonly testMs: number;
  /** Longest silence while no test runs: imports before the first test, hooks and open handles after the last. */
  readonly idleMs: number;
  /** Longest run of a file. */
  readonly fileMs: number;
}

export interface ProcessOptions {
  readonly bounds: Bounds;
  readonly marker: string;
  readonly nodeOptions: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Ends the running file. */
  readonly stop: AbortSignal;
}

export interface TestFile {
  readonly file: string;
  /** The program for Node: the file itself, or its build. */
  readonly program: string;
  /** The file's TMPDIR, which is created. Its path is short, because Unix socket paths must stay under 104 bytes. */
  readonly folder: string;
}

export interface FileRun {
  readonly file: string;
  readonly events: readonly TestEvent[];
  /** Output of the file and its children. */
  readonly output: string;
  /** Each problem counts as one failed test. */
  readonly problems: readonly string[];
  readonly startedAt: number;
  readonly durationMs: number;
}

/** Characters. */
const mostOutput = 256 * 1024;
/** Time to stop on request, and for killed children to disappear. */
const politeMs = 5_000;
const reporter = join(import.meta.dirname, 'reporter.ts');
const inTurn = join(import.meta.dirname, 'files-in-turn.ts');
const lightHooks = pathToFileURL(join(import.meta.dirname, 'light-hooks.ts')).href;
/** Collections of garbage take a tenth of a test's processor time while V8 finds out how much room new objects need. MiB. */
const roomForNew = 16;

/** Runs one file, as the program of its process. */
export function runAlone(file: TestFile, options: ProcessOptions): Promise<FileRun> {
  return new TestProcess(options, file).run(file);
}

/** A process for one file, or for several in turn. */
export class TestProcess {
  readonly #options: ProcessOptions;
  readonly #child: ChildProcess;
  readonly #family: Family;
  readonly #output: Output;
  readonly #events: TestEvents;
  /** Undefined on success. */
  readonly #exit: Promise<string | undefined>;
  readonly #closed: Promise<unknown>;
  /** Undefined for a process with one file. */
  readonly #asks: Writable | undefined;
  readonly #files: string[] = [];
  #isAlive = true;
  /** Of any file. The exit code tells it too. */
  #hasFailed = false;

  /** @param alone the only file. Default: several, each given to `run`. */
  constructor(options: ProcessOptions, alone?: TestFile) {
    this.#options = options;
    const marker = nested(options.marker);
    this.#child = spawn(process.execPath, wordsOf(options, alone?.program ?? inTurn), {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', alone ? 'ignore' : 'pipe'],
      env: {
        ...process.env,
        ...options.env,
        ...(alone && { TMPDIR: alone.folder }),
        [markerVariable]: marker,
      },
    });
    const { stdout, stderr, stdio } = this.#child;
    this.#family = { marker, leader: this.#child.pid ?? -1 };
    this.#output = new Output([stdout!, stderr!]);
    this.#events = new TestEvents(stdio[3] as Readable, !alone);
    this.#exit = exitOf(this.#child);
    this.#closed = new Promise((resolve) => this.#child.once('close', resolve));
    void this.#exit.then(() => {
      this.#isAlive = false;
    });
    if (alone) return;
    this.#asks = stdio[4] as Writable;
    // The end of the process tells more.
    this.#asks.on('error', () => {});
  }

  /** Whether it can run another file. */
  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** All that it has run. */
  get files(): readonly string[] {
    return this.#files;
  }

  /**
   * Never rejects because of the file. The process ends with it if it was started for this file, is ended by it, or is not as new
   * after it.
   */
  async run({ file, program, folder }: TestFile): Promise<FileRun> {
    const startedAt = Date.now();
    const begun = performance.now();
    const events = this.#events;
    this.#files.push(file);
    this.#output.text = '';
    events.begin();
    this.#asks?.write(`${JSON.stringify({ program, folder } satisfies FileInTurn)}\n`);
    const verdict = await this.#unlessOverdue(this.#endOfFile(), begun);
    const problems: string[] = [];
    if (verdict !== undefined) {
      events.close();
      problems.push(verdict);
      // Exit handlers of the file may still clean up.
      this.#child.kill('SIGTERM');
      await Promise.race([this.#exit, patience()]);
    }
    const left = verdict === undefined ? await this.#leftProcesses() : [];
    if (left.length > 0) this.#isAlive = false;
    const immortal = this.#isAlive ? [] : await this.#kill();

    this.#hasFailed ||= events.hasFailure;
    if (events.failure !== undefined) problems.push(events.failure);
    if (verdict === undefined) {
      if (left.length > 0) problems.push(`it left processes: ${left.map(describe).join('; ')}`);
      else if (!this.#isAlive) problems.push(...(await this.#badEnd()));
      const paths = leftBy(this.#family.leader, folder);
      if (paths.length > 0) problems.push(`it left files: ${paths.join(' ')}`);
    }
    if (immortal.length > 0) problems.push(`these cannot be killed: ${immortal.map(describe).join('; ')}`);
    remove(this.#family.leader, folder);
    const durationMs = performance.now() - begun;
    return { file, events: events.all, output: this.#output.text, problems, startedAt, durationMs };
  }

  /** Ends a process without a running file. @returns what its files left to happen later. */
  async end(): Promise<string | undefined> {
    this.#output.text = '';
    this.#events.begin();
    this.#asks?.end();
    const verdict = await this.#unlessOverdue(this.#exit, performance.now());
    await this.#kill();
    if (this.#options.stop.aborted) return undefined;
    const problem = verdict ?? (this.#hasFailed ? undefined : await this.#exit);
    return problem && `${problem}\n${this.#output.text}`;
  }

  /** Resolves when the file has ended; if the process is then not as new, when that has ended too. */
  async #endOfFile(): Promise<void> {
    const isEnded = this.#exit.then(() => false);
    const isClean = await Promise.race([isEnded, this.#events.ended().then((end) => end.isClean)]);
    if (this.#asks && isClean) {
      // Its output is in the other pipes, which are read in this turn or the next.
      await turn();
      return turn();
    }
    this.#asks?.end();
    await this.#exit;
  }

  /** @returns the reason to end the process early. */
  async #unlessOverdue(end: Promise<unknown>, begun: number): Promise<string | undefined> {
    const over = new AbortController();
    const reason = () => reasonToEnd(this.#events, this.#options, begun);
    const verdict = await Promise.race([end.then(() => undefined), overdue(reason, over.signal)]);
    over.abort();
    if (verdict !== undefined) this.#isAlive = false;
    return verdict;
  }

  async #leftProcesses(): Promise<FoundProcess[]> {
    return livingAfter(this.#family, politeMs, this.#isAlive);
  }

  async #kill(): Promise<FoundProcess[]> {
    const immortal = await killAll(this.#family);
    // Every process that could hold the pipes is gone, and their output has been read.
    await Promise.race([this.#closed, patience()]);
    for (const stream of this.#child.stdio) stream?.destroy();
    return immortal;
  }

  /** What was wrong when the process ended by itself. */
  async #badEnd(): Promise<string[]> {
    const { running, isWhole } = this.#events;
    const ending = await this.#exit;
    if (running !== '') return [`${ending ?? 'its process ended'}${running}`];
    if (ending !== undefined && !this.#hasFailed) return [ending];
    return this.#asks && !isWhole ? ['its process ended'] : [];
  }
}

function wordsOf({ nodeOptions }: ProcessOptions, program: string): string[] {
  const report = [`--test-reporter=${reporter}`, '--test-reporter-destination=stdout'];
  const always = [`--import=${lightHooks}`, `--min-semi-space-size=${roomForNew}`];
  return ['--disable-warning=ExperimentalWarning', ...always, ...nodeOptions, ...report, program];
}

function nested(marker: string): string {
  const outer = process.env[markerVariable];
  return outer === undefined ? marker : `${outer}/${marker}`;
}

/** Undefined on success. */
function exitOf(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`its process could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(undefined);
      else
        resolve(signal ? `its process was ended by ${signal}` : `its process ended with exit code ${code}`);
    });
  });
}

/** Resolves when there is a reason to end the file. */
function overdue(reason: () => string | undefined, over: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const watch = setInterval(() => {
      const found = reason();
      if (found !== undefined) resolve(found);
    }, 100);
    over.addEventListener('abort', () => clearInterval(watch));
  });
}

function reasonToEnd(
  events: TestEvents,
  { bounds, stop }: ProcessOptions,
  begun: number,
): string | undefined {
  const now = performance.now();
  const { running } = events;
  if (stop.aborted) return `the run was ended${running}`;
  if (now - begun > bounds.fileMs) return `the file took longer than ${seconds(bounds.fileMs)}${running}`;
  if (running === '' && now - events.at > bounds.idleMs)
    return `the file did not end, and no test ran for ${seconds(bounds.idleMs)}`;
  if (running !== '' && now - events.at > bounds.testMs)
    return `nothing ended for ${seconds(bounds.testMs)}${running}`;
  return undefined;
}

/** The output of a file and its children, up to a limit. */
class Output {
  text = '';

  constructor(sources: readonly Readable[]) {
    for (const source of sources) source.setEncoding('utf8').on('data', (piece: string) => this.#take(piece));
  }

  #take(piece: string): void {
    if (this.text.length > mostOutput) return;
    this.text += piece;
    if (this.text.length > mostOutput) this.text += '\n(There was more.)\n';
  }
}

const describe = ({ pid, command }: FoundProcess) => `${pid} ${command}`;
const seconds = (ms: number) => `${Math.round(ms / 100) / 10} s`;
const patience = () => sleep(politeMs, undefined, { ref: false });
