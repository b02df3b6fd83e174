// Runs one test file as a process with its own session. The run always ends: a file that reports nothing for too long
// is killed, with everything that it started.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { leftBy, makeFolder, remove } from './left-behind.ts';
import { type FoundProcess, killAll, livingAfter, markerVariable } from './processes.ts';

export interface Bounds {
  /** Longest silence while a test runs, which limits a single test. */
  readonly testMs: number;
  /** Longest silence while no test runs: imports before the first test, hooks and open handles after the last. */
  readonly idleMs: number;
  /** Longest run of a file. */
  readonly fileMs: number;
}

export interface FileOptions {
  readonly bounds: Bounds;
  /** The program for Node: the file itself, or its build. */
  readonly program: string;
  /** The file's TMPDIR, which is created. Its path is short, because Unix socket paths must stay under 104 bytes. */
  readonly folder: string;
  readonly marker: string;
  readonly nodeOptions: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** An event of node:test, with errors as text. */
export interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name: string;
    readonly nesting: number;
    readonly file?: string;
    readonly line?: number;
    readonly column?: number;
    readonly message?: string;
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
    readonly details?: {
      readonly duration_ms: number;
      readonly type?: string;
      readonly failure?: { readonly type: string; readonly text: string };
    };
  };
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
const lightHooks = pathToFileURL(join(import.meta.dirname, 'light-hooks.ts')).href;
/** Collections of garbage take a tenth of a test's processor time while V8 finds out how much room new objects need. MiB. */
const roomForNew = 16;

/** Never rejects because of the file. @param stop ends the file early. */
export async function runFile(file: string, options: FileOptions, stop: AbortSignal): Promise<FileRun> {
  makeFolder(options.folder);
  const startedAt = Date.now();
  const begun = performance.now();
  const marker = nested(options.marker);
  const child = spawn(process.execPath, wordsOf(options), {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...options.env,
      TMPDIR: options.folder,
      [markerVariable]: marker,
    },
  });
  const family = { marker, leader: child.pid ?? -1 };
  const output = new Output([child.stdout!, child.stderr!]);
  const news = new News(child.stdio[3] as Readable);
  const closed = new Promise((resolve) => child.once('close', resolve));
  const exit = exitOf(child);
  const over = new AbortController();
  const verdict = await Promise.race([
    exit.then(() => undefined),
    overdue(() => reasonToEnd(news, options.bounds, begun, stop), over.signal),
  ]);
  over.abort();
  const problems: string[] = [];
  if (verdict !== undefined) {
    news.close();
    problems.push(verdict);
    // Exit handlers of the file may still clean up.
    child.kill('SIGTERM');
    await Promise.race([exit, patience()]);
  }
  const left = verdict === undefined ? await livingAfter(family, politeMs) : [];
  const immortal = await killAll(family);
  // Every process that could hold the pipes is gone, and their output has been read.
  await Promise.race([closed, patience()]);
  for (const stream of child.stdio) stream?.destroy();

  if (verdict === undefined) {
    const ending = await exit;
    if (news.running !== '') problems.push(`${ending ?? 'the file ended'}${news.running}`);
    else if (ending !== undefined && !news.hasFailure) problems.push(ending);
    if (left.length > 0) problems.push(`it left processes: ${left.map(describe).join('; ')}`);
    const paths = leftBy(family.leader, options.folder);
    if (paths.length > 0) problems.push(`it left files: ${paths.join(' ')}`);
  }
  if (immortal.length > 0) problems.push(`these cannot be killed: ${immortal.map(describe).join('; ')}`);
  remove(family.leader, options.folder);
  const durationMs = performance.now() - begun;
  return { file, events: news.events, output: output.text, problems, startedAt, durationMs };
}

function wordsOf({ program, nodeOptions }: FileOptions): string[] {
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
    child.once('error', (error) => resolve(`the file could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(signal ? `the file was ended by ${signal}` : `the file ended with exit code ${code}`);
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

function reasonToEnd(news: News, bounds: Bounds, begun: number, stop: AbortSignal): string | undefined {
  const now = performance.now();
  const { running } = news;
  if (stop.aborted) return `the run was ended${running}`;
  if (now - begun > bounds.fileMs) return `the file took longer than ${seconds(bounds.fileMs)}${running}`;
  if (running === '' && now - news.at > bounds.idleMs)
    return `the file did not end, and no test ran for ${seconds(bounds.idleMs)}`;
  if (running !== '' && now - news.at > bounds.testMs)
    return `nothing ended for ${seconds(bounds.testMs)}${running}`;
  return undefined;
}

/** The events from the reporter. */
class News {
  readonly events: TestEvent[] = [];
  /** Time of the last event. */
  at = performance.now();
  readonly #running: { readonly name: string; readonly nesting: number }[] = [];
  #isClosed = false;

  constructor(source: Readable) {
    createInterface({ input: source }).on('line', (line) => {
      const event = parse(line);
      if (event) this.#take(event);
    });
  }

  /** The running tests, as the end of a sentence; empty if none runs. */
  get running(): string {
    // node:test reports its root as running after all tests have ended.
    const names = this.#running.map(({ name }) => (name === '<root>' ? 'hooks of the file' : `"${name}"`));
    return names.length === 0 ? '' : `, while this was running: ${names.join(', ')}`;
  }

  get hasFailure(): boolean {
    return this.events.some(({ type }) => type === 'test:fail');
  }

  /** Events after the kill do not count. */
  close(): void {
    this.#isClosed = true;
  }

  #take(event: TestEvent): void {
    if (this.#isClosed) return;
    this.at = performance.now();
    const { name, nesting } = event.data;
    if (event.type === 'start') this.#running.push({ name, nesting });
    else if (event.type === 'end') this.#leave(name, nesting);
    else this.events.push(event);
  }

  #leave(name: string, nesting: number): void {
    const index = this.#running.findIndex((each) => each.name === name && each.nesting === nesting);
    if (index >= 0) this.#running.splice(index, 1);
  }
}

/** Undefined for half a line, which a dying process may leave. */
function parse(line: string): TestEvent | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
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
