// Runs test files, several at a time. Every file ends, and everything that it started or created is removed.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { makePrivateFolder } from '../../packages/transport-quic/src/quiche/private-folder.ts';
import { cacheFolder } from '../cache-folder.ts';
import { type BuiltTests, notBuilt } from './build-tests.ts';
import { entries, makeFolder } from './left-behind.ts';
import { eachAtPace, type Pace } from './pace.ts';
import { memory, placeForFolders } from './place-for-folders.ts';
import { ProcessPool } from './process-pool.ts';
import { Report } from './report.ts';
import type { TestEvent } from './test-events.ts';
import { type Bounds, type FileRun, runAlone } from './test-process.ts';

export interface RunOptions {
  readonly bounds: Bounds;
  readonly pace: Pace;
  /** Default: the files run without a build. */
  readonly built?: BuiltTests;
  /** Files that have a process of their own; the others run in turn in a few. Default: all. */
  readonly isAlone?: (file: string) => boolean;
  /** Node options for each file. */
  readonly nodeOptions: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Also check shared places, for a run that has the machine to itself. */
  readonly looksAround: boolean;
  readonly output: Writable;
  /** Ends the running files, and the run. */
  readonly stop: AbortSignal;
}

/** The compile cache, shared by hundreds of processes and the next run. */
const compiled = { NODE_COMPILE_CACHE: join(cacheFolder, 'compiled') };
/** Places in which programs create files without using TMPDIR. */
const sharedPlaces = new Set([tmpdir(), '/tmp', '/var/tmp', memory]);

/** Prints the output of node:test. @returns whether everything passed. */
export async function runTests(files: readonly string[], options: RunOptions): Promise<boolean> {
  const { stop, built = notBuilt, isAlone = () => true } = options;
  const before = new Set(inSharedPlaces());
  const folder = mkdtempSync(join(placeForFolders(), 'pt-'));
  chmodSync(folder, 0o711);

  const report = new Report(options.output);
  let waiting = files.length;
  const named = files.map((file, index) => ({ file, name: `${index + 1}` }));
  const pool = new ProcessPool(options.pace.least, (ofFiles, problem) =>
    report.addProblem(ofFiles.join(' '), built.inSources(problem)),
  );
  const work = async ({ file, name }: (typeof named)[number]) => {
    waiting -= 1;
    const env = { ...compiled, ...built.env, ...options.env };
    const own = { ...options, env, marker: `${basename(folder)}-${name}` };
    const test = { file, program: resolve(built.programOf(file)), folder: join(folder, name) };
    makeFolder(test.folder);
    const run = isAlone(file) ? await runAlone(test, own) : await pool.run(test, built.partOf(file), own);
    report.add(inSources(run, built));
  };
  await eachAtPace(named, options.pace, work, stop);
  await pool.end();

  rmSync(folder, { recursive: true, force: true });
  removeAbandonedFolders();
  const left = inSharedPlaces().filter((path) => !before.has(path));
  if (options.looksAround && left.length > 0)
    report.addProblem('the run', `it left files outside of TMPDIR: ${left.join(' ')}`);
  if (stop.aborted) report.addProblem('the run', `it was ended before ${waiting} files`);
  return report.end();
}

/** The text with source positions instead of those in the build. */
function inSources(run: FileRun, built: BuiltTests): FileRun {
  return { ...run, output: built.inSources(run.output), events: run.events.map(eventInSources) };

  function eventInSources({ type, data }: TestEvent): TestEvent {
    const { details } = data;
    if (!details?.failure) return { type, data };
    const place = built.inSources(`${data.file}:${data.line}:${data.column}`);
    const [, file, line, column] = /^(.*):(\d+):(\d+)$/.exec(place) ?? [];
    const text = built.inSources(details.failure.text);
    return {
      type,
      data: {
        ...data,
        ...(file !== undefined && { file, line: Number(line), column: Number(column) }),
        details: { ...details, failure: { ...details.failure, text } },
      },
    };
  }
}

/** The folders of killed daemons, which the next daemon would remove. */
function removeAbandonedFolders(): void {
  rmSync(makePrivateFolder(), { recursive: true, force: true });
}

function inSharedPlaces(): string[] {
  return [...sharedPlaces].flatMap((place) =>
    (entries(place) ?? [])
      .filter((name) => /^\.?(palyra|playwright|org\.chromium)/.test(name))
      // The remaining folders belong to living processes: not to tests, but to somebody's daemon.
      .filter((name) => !name.startsWith('palyra-quic-'))
      .map((name) => join(place, name)),
  );
}
