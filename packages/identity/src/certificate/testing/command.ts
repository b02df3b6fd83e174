// Foreign programs as independent readers: `openssl` and `curl`.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryFolder } from '../../../../../tests/testing/temporary-folder.ts';

/** Both are in the Debian package of the same name. */
export type Command = 'openssl' | 'curl';

export interface CommandResult {
  readonly code: number | null;
  /** stdout and stderr, in order of arrival. */
  readonly output: string;
}

export function run(command: Command, args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.on('error', (cause) =>
      reject(new Error(`This test needs the "${command}" command: apt-get install ${command}`, { cause })),
    );
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** Writes files into a folder that is removed after the test. Returns their paths. */
export function writeFiles<Name extends string>(
  _t: TestContext,
  files: Readonly<Record<Name, string>>,
): Record<Name, string> {
  const directory = temporaryFolder();
  const paths = {} as Record<Name, string>;
  for (const name of Object.keys(files) as Name[]) {
    paths[name] = join(directory, name);
    writeFileSync(paths[name], files[name], { mode: 0o600 });
  }
  return paths;
}
