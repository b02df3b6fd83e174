// Go programs with Debian's libraries.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { cacheFolder } from '../../scripts/cache-folder.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Debian's folder for the sources of Go packages. */
const gocode = '/usr/share/gocode';
const packages = ['golang-go', 'golang-google-grpc-dev', 'golang-google-protobuf-dev'];
const hasAll =
  spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0 &&
  ['google.golang.org/grpc', 'google.golang.org/protobuf'].every((name) =>
    existsSync(join(gocode, 'src', name)),
  );

/** The reason to skip their tests, or false. */
export const skipGo: string | false =
  !hasAll && `Go is not here, or its gRPC. Install them: sudo apt-get install ${packages.join(' ')}`;

const sources = join(import.meta.dirname, '../foreign');
/** The cache for all test files and later runs. */
const cache = join(cacheFolder, 'go');

/**
 * Builds a program once for each version of its source. The first build also compiles gRPC, which takes a minute.
 * @param source in tests/foreign, or its absolute path.
 * @returns the path of the program.
 */
export function buildGo(source: string): string {
  const program = programOf(source);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Several test files may build it at the same time.
  const built = join(temporaryFolder(cache), basename(program));
  const { status, stderr } = spawnSync('go', ['build', '-o', built, resolve(sources, source)], {
    encoding: 'utf8',
    env: { ...process.env, GO111MODULE: 'off', GOPATH: gocode, GOCACHE: join(cache, 'build'), GOFLAGS: '' },
  });
  assert.equal(status, 0, stderr);
  renameSync(built, program);
  return program;
}

function programOf(source: string): string {
  const digest = hash('sha256', readFileSync(resolve(sources, source)));
  return join(cache, `${basename(source, '.go')}-${digest.slice(0, 16)}`);
}

/** Builds all programs before a run, because a test file would be silent for too long. @param say reports progress. */
export function buildAllGo(say: (what: string) => void): void {
  if (skipGo) return;
  const all = readdirSync(sources).filter((name) => name.endsWith('.go'));
  for (const source of all.filter((each) => !existsSync(programOf(each)))) {
    say(`Building tests/foreign/${source} (the first takes a minute)`);
    buildGo(source);
  }
}

/** Runs a program with this input on stdin. @returns its lines of JSON as they arrive; undefined after the last. */
export function runGo<Line>(t: TestContext, program: string, setup: object): () => Promise<Line | undefined> {
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  child.stdin.end(JSON.stringify(setup));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    return done ? undefined : (JSON.parse(value) as Line);
  };
}
