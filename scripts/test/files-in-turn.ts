// Runs test files in turn in one process: most of a short file's processor time is the start of the process and the first use of
// each function. Each line of descriptor 4 names a file; its end is told on descriptor 3, between the lines of reporter.ts.

import { channel } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { mock, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { FileEnd } from './test-events.ts';

export interface FileInTurn {
  readonly program: string;
  /** The file's TMPDIR. */
  readonly folder: string;
}

/** What a file opened may take this long to close. */
const politeMs = 2_000;
/** Resident bytes. */
const mostMemory = 512 * 2 ** 20;
/** For what the tests of a file share (tests/testing/end-of-file.ts). */
const fileEnded = channel('palyra.test.file-ended');

/** How many handles and requests are open. */
const open = () => process.getActiveResourcesInfo().length;

/** What tests replaced, as it was before. */
const replaced: {
  readonly of: object;
  readonly name: PropertyKey;
  readonly was: PropertyDescriptor | undefined;
}[] = [];
const mocks: typeof mock = Object.getPrototypeOf(mock);
const replace = mocks.method as (this: unknown, of: object, name: PropertyKey, ...more: unknown[]) => unknown;
Object.assign(mocks, {
  method(this: unknown, of: object, name: PropertyKey, ...more: unknown[]) {
    replaced.push({ of, name, was: Object.getOwnPropertyDescriptor(of, name) });
    return replace.call(this, of, name, ...more);
  },
});

// Both are opened by their first use.
void [process.stdout, process.stderr];
const asked = new Socket({ fd: 4, readable: true, writable: false });
const atFirst = open();
for await (const line of createInterface({ input: asked })) {
  const { program, folder } = JSON.parse(line) as FileInTurn;
  process.env.TMPDIR = folder;
  process.argv[1] = program;
  const before = variables();
  await test(program, async () => {
    await import(pathToFileURL(program).href);
  });
  fileEnded.publish(program);
  putBack();
  const end: FileEnd = { isClean: (await isIdle()) && variables() === before && isSmall() };
  writeSync(3, `${JSON.stringify({ type: 'file', data: end })}\n`);
}

/** Node restores two mocks of one function in the wrong order, so the first one stays. */
function putBack(): void {
  for (const { of, name, was } of replaced.splice(0).reverse())
    if (was) Object.defineProperty(of, name, was);
    else Reflect.deleteProperty(of, name);
  syncBuiltinESMExports();
}

function variables(): string {
  // QUIC replaces these for the whole process, once.
  const { SSL_CERT_DIR: _, SSL_CERT_FILE: __, ...others } = process.env;
  return JSON.stringify(others);
}

/** Whether nothing is open any more. */
async function isIdle(): Promise<boolean> {
  const until = performance.now() + politeMs;
  do {
    await sleep(5);
    if (open() <= atFirst) return true;
  } while (performance.now() < until);
  return false;
}

function isSmall(): boolean {
  return process.memoryUsage.rss() < mostMemory;
}
