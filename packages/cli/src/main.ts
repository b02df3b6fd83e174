// The process: its arguments, streams, signals and exit. Nothing else in this package touches it.

import { homedir, hostname } from 'node:os';
import process from 'node:process';
import { CliError, exitCodes, failureOf, fileFailed } from './failure.ts';
import type { Invocation } from './invocation.ts';
import { showsBoxes } from './plain-ascii.ts';
import { run } from './program.ts';

const { env, stdout, stderr, stdin } = process;
const interruption = new AbortController();

/** npm forwards a Ctrl-C that the terminal has also sent here. A second signal within this time is that copy. */
const sameKeyMs = 1000;
let interruptedAtMs = Number.NEGATIVE_INFINITY;

let insist: (() => void) | undefined;

/** The first signal lets the run end in order. The second ends it at once. */
function interrupt(code: 'INTERRUPTED' | 'TERMINATED'): void {
  const isSame = performance.now() - interruptedAtMs <= sameKeyMs;
  if (isSame) return;
  interruptedAtMs = performance.now();
  if (!interruption.signal.aborted) {
    interruption.abort(new CliError(code, 'Interrupted.'));
    return;
  }
  if (!insist) process.exit(exitCodes[code === 'INTERRUPTED' ? 'interrupted' : 'terminated']);
  insist();
  insist = undefined;
}

/** Signals that the parent process ignored, as nohup does, stay ignored. Node resets them; bin/palyra records them. */
const ignored: ReadonlySet<string> = new Set(env.PALYRA_IGNORED_SIGNALS?.split(' '));
let outlivesTerminal = false;

for (const [signal, code] of [
  ['SIGINT', 'INTERRUPTED'],
  ['SIGTERM', 'TERMINATED'],
  ['SIGHUP', 'TERMINATED'],
] as const) {
  process.on(signal, () => {
    if (ignored.has(signal.slice('SIG'.length)) || (signal === 'SIGHUP' && outlivesTerminal)) return;
    interrupt(code);
  });
}

/** The reason why part of the answer is missing. */
let lost: CliError | undefined;

for (const [stream, name, other] of [
  [stdout, 'Standard output', stderr],
  [stderr, 'Standard error', stdout],
] as const) {
  let isTold = false;
  stream.on('error', (cause: NodeJS.ErrnoException) => {
    if (outlivesTerminal) {
      if (!isTold && !invocation.args.includes('--json'))
        other.write(
          `note: ${name} cannot be written (${cause.code}). Output is lost until writing works again.\n`,
        );
      isTold = true;
      return;
    }
    // The reader of the answers has closed the pipe, as in `palyra audit list | head`.
    const isUnread = cause.code === 'EPIPE';
    const why = isUnread ? new CliError('TERMINATED', 'Interrupted.') : fileFailed(name, 'written', cause);
    if (stream === stdout) lost ??= why;
    interruption.abort(why);
  });
}

const invocation: Invocation = {
  args: process.argv.slice(2),
  stdin,
  stdout,
  stderr,
  noColor: Boolean(env.NO_COLOR) || env.TERM === 'dumb',
  showsBoxes: showsBoxes(env, stdout.isTTY === true),
  dumbTerminal: env.TERM === 'dumb',
  palyraHome: env.PALYRA_HOME,
  userHome: userHome(),
  environment: { PATH: env.PATH, HOME: env.HOME },
  desktop: {
    DBUS_SESSION_BUS_ADDRESS: env.DBUS_SESSION_BUS_ADDRESS,
    XDG_RUNTIME_DIR: env.XDG_RUNTIME_DIR,
    DISPLAY: env.DISPLAY,
  },
  webProxy: { proxy: env.HTTPS_PROXY || env.https_proxy, noProxy: env.NO_PROXY || env.no_proxy },
  hostName: hostname(),
  platform: `${process.platform}-${process.arch} node-${process.versions.node.split('.', 2).join('.')}`,
  program: env.npm_execpath ? 'npx palyra' : 'palyra',
  atExit(work) {
    process.on('exit', work);
    return () => process.off('exit', work);
  },
  interrupted: interruption.signal,
  onInsistence: (take) => {
    insist = take;
  },
  pid: process.pid,
  executable: [process.execPath, process.argv[1] ?? ''],
  isRoot: process.getuid?.() === 0,
  outlivesTerminal: () => {
    outlivesTerminal = true;
  },
  supervision: {
    NOTIFY_SOCKET: env.NOTIFY_SOCKET,
    WATCHDOG_USEC: env.WATCHDOG_USEC,
    WATCHDOG_PID: env.WATCHDOG_PID,
  },
};
// A run that never ends, and leaves nothing to wait for, has failed.
process.exitCode = exitCodes.failure;
void run(invocation).then(leave);

/** Undefined without HOME, if the system does not know the user, as in a container. */
function userHome(): string | undefined {
  try {
    return homedir() || undefined;
  } catch {
    return undefined;
  }
}

/** Longest wait for the reader to take the rest of the output of an interrupted run, ms. */
const lastWordsMs = 1000;

function leave(exitCode: number): void {
  const exit = () => {
    if (!lost || exitCode !== exitCodes.ok) process.exit(exitCode);
    // The work was done, but its answer could not be delivered.
    if (lost.code === 'FILE_FAILED') stderr.write(`error: ${lost.message} [FILE_FAILED]\n`);
    process.exit(failureOf(lost).exitCode);
  };
  if (interruption.signal.aborted) setTimeout(exit, lastWordsMs);
  // Connections and prompts may still keep the process alive. Before it exits, the output is written or fails.
  stdout.write('', () => stderr.write('', () => setImmediate(exit)));
}
