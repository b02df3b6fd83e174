// Programs in Go, on the libraries that Debian has.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { temporaryFolder } from './temporary-folder.ts';

/** Where Debian puts the sources of Go packages. */
const gocode = '/usr/share/gocode';
const packages = ['golang-go', 'golang-google-grpc-dev', 'golang-google-protobuf-dev'];
const hasAll =
  spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0 &&
  ['google.golang.org/grpc', 'google.golang.org/protobuf'].every((name) =>
    existsSync(join(gocode, 'src', name)),
  );

/** Why tests of them are skipped, or false. */
export const skipGo: string | false =
  !hasAll && `Go is not here, or its gRPC. Install them: sudo apt-get install ${packages.join(' ')}`;

/** What Go has compiled before, also for other test files and the next run. */
const cache = join(import.meta.dirname, '../../node_modules/.cache/go-build');

/** @param source in tests/foreign. @returns the path of the program. */
export function buildGo(source: string): string {
  const program = join(temporaryFolder(), basename(source, '.go'));
  const { status, stderr } = spawnSync(
    'go',
    ['build', '-o', program, join(import.meta.dirname, '../foreign', source)],
    {
      encoding: 'utf8',
      env: { ...process.env, GO111MODULE: 'off', GOPATH: gocode, GOCACHE: cache, GOFLAGS: '' },
    },
  );
  assert.equal(status, 0, stderr);
  return program;
}

/** Runs it with this on stdin. @returns the lines of JSON that it prints, as they come; undefined after the last. */
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
