// Test files, some at a time. Each one ends whatever it does, and nothing that one of them started or made stays.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Writable } from 'node:stream';
import { makePrivateFolder } from '../../packages/transport-quic/src/quiche/private-folder.ts';
import { type BuiltTests, notBuilt } from './build-tests.ts';
import { type Bounds, type FileRun, runFile, type TestEvent } from './file.ts';
import { entries } from './left-behind.ts';
import { memory, placeForFolders } from './place-for-folders.ts';
import { Report } from './report.ts';

export interface RunOptions {
  readonly bounds: Bounds;
  readonly concurrency: number;
  /** Default: the files are run as they are. */
  readonly built?: BuiltTests;
  /** Options of Node for each file. */
  readonly nodeOptions: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** To look where others make folders, too: for a run that has the machine to itself. */
  readonly looksAround: boolean;
  readonly output: Writable;
  /** Ends what runs, and the run. */
  readonly stop: AbortSignal;
}

/** Of this checkout, for what the next run need not make again. */
export const cacheFolder: string = join(import.meta.dirname, '../../node_modules/.cache');
/** Hundreds of processes load the same modules: they share what one of them compiled, and so does the next run. */
const compiled = { NODE_COMPILE_CACHE: join(cacheFolder, 'compiled') };
/** Where programs put files that do not ask TMPDIR. */
const sharedPlaces = new Set([tmpdir(), '/tmp', '/var/tmp', memory]);

/** Prints what node:test prints. @returns whether all is well. */
export async function runTests(files: readonly string[], options: RunOptions): Promise<boolean> {
  const { stop, built = notBuilt } = options;
  const before = new Set(inSharedPlaces());
  const folder = mkdtempSync(join(placeForFolders(), 'pt-'));
  chmodSync(folder, 0o711);

  const report = new Report(options.output);
  const waiting = files.map((file, index) => ({ file, name: `${index + 1}` }));
  const work = async () => {
    while (!stop.aborted) {
      const next = waiting.shift();
      if (!next) return;
      const { file, name } = next;
      const own = {
        ...options,
        env: { ...compiled, ...built.env, ...options.env },
        program: built.programOf(file),
        folder: join(folder, name),
        marker: `${basename(folder)}-${name}`,
      };
      report.add(inSources(await runFile(file, own, stop), built));
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, work));

  rmSync(folder, { recursive: true, force: true });
  removeAbandonedFolders();
  const left = inSharedPlaces().filter((path) => !before.has(path));
  if (options.looksAround && left.length > 0)
    report.addProblem('the run', `it left files outside of TMPDIR: ${left.join(' ')}`);
  if (stop.aborted) report.addProblem('the run', `it was ended before ${waiting.length} files`);
  return report.end();
}

/** With places in the sources instead of the build. */
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

/** A daemon that is killed leaves its folder to the next one that starts. */
function removeAbandonedFolders(): void {
  rmSync(makePrivateFolder(), { recursive: true, force: true });
}

function inSharedPlaces(): string[] {
  return [...sharedPlaces].flatMap((place) =>
    (entries(place) ?? [])
      .filter((name) => /^\.?(palyra|playwright|org\.chromium)/.test(name))
      // Those that are left are of living processes: not of the tests, but of somebody's daemon.
      .filter((name) => !name.startsWith('palyra-quic-'))
      .map((name) => join(place, name)),
  );
}
