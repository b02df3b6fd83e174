// A run of the command with recorded streams, for tests.

import { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { temporaryFolder as newFolder } from '../../../../tests/testing/temporary-folder.ts';
import type { Invocation } from '../invocation.ts';
import { run } from '../program.ts';

export interface Recorded {
  readonly invocation: Invocation;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** The first line of stdout, as soon as it arrives. */
  readonly firstLine: Promise<string>;
}

export interface RecordedOptions {
  readonly args?: readonly string[];
  readonly input?: string;
  /** Width of the terminal on stdout and stderr; undefined: there is no terminal. */
  readonly columns?: number;
  readonly noColor?: boolean;
  /** Default: true. */
  readonly showsBoxes?: boolean;
  /** `undefined`: neither HOME nor the system names it. */
  readonly userHome?: string | undefined;
  readonly palyraHome?: string;
  readonly program?: string;
  readonly interrupted?: AbortSignal;
  readonly isRoot?: boolean;
  readonly executable?: Invocation['executable'];
}

export function recorded(options: RecordedOptions = {}): Recorded {
  const { columns } = options;
  const terminal = columns === undefined ? {} : { isTTY: true, columns };
  const sink = () => {
    const chunks: string[] = [];
    const firstLine = Promise.withResolvers<string>();
    const stream = new Writable({
      write(chunk, _encoding, done) {
        chunks.push(String(chunk));
        const [line, rest] = chunks.join('').split('\n', 2);
        if (rest !== undefined) firstLine.resolve(line!);
        done();
      },
    });
    return {
      stream: Object.assign(stream, terminal),
      text: () => chunks.join(''),
      firstLine: firstLine.promise,
    };
  };
  const [out, err] = [sink(), sink()];
  const invocation: Invocation = {
    args: options.args ?? [],
    stdin: Readable.from(options.input === undefined ? [] : [Buffer.from(options.input)]),
    stdout: out.stream,
    stderr: err.stream,
    noColor: options.noColor ?? false,
    showsBoxes: options.showsBoxes ?? true,
    dumbTerminal: false,
    palyraHome: options.palyraHome,
    userHome: 'userHome' in options ? options.userHome : '/home/somebody',
    environment: {},
    desktop: {},
    webProxy: {},
    hostName: 'laptop',
    platform: 'linux-x64 node-24.21',
    program: options.program ?? 'palyra',
    atExit: () => () => {},
    interrupted: options.interrupted ?? new AbortController().signal,
    outlivesTerminal: () => {},
    onInsistence: () => {},
    pid: process.pid,
    executable: options.executable ?? ['/usr/bin/node', '/opt/palyra/bin/palyra.js'],
    isRoot: options.isRoot ?? false,
    supervision: {},
  };
  return { invocation, stdout: out.text, stderr: err.text, firstLine: out.firstLine };
}

/** Runs the command to its end. */
export async function runRecorded(
  options: RecordedOptions,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const { invocation, stdout, stderr } = recorded(options);
  return { exitCode: await run(invocation), stdout: stdout(), stderr: stderr() };
}

/** A folder that is removed after the tests of the file. */
export async function temporaryFolder(_t: TestContext): Promise<string> {
  return newFolder();
}
