// The process: its arguments, streams, signals and exit. Nothing else in this package touches it.

import { homedir, hostname } from 'node:os';
import process from 'node:process';
import { CliError, exitCodes } from './failure.ts';
import { run } from './program.ts';

const { env, stdout, stderr, stdin } = process;
const interruption = new AbortController();

/** npm hands on a Ctrl-C that the terminal has already sent to everybody: what follows so soon is the same one. */
const sameKeyMs = 1000;
let interruptedAtMs = Number.NEGATIVE_INFINITY;

let insist: (() => void) | undefined;

/** The first one ends the run in its own good time, the second one at once. */
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

process.on('SIGINT', () => interrupt('INTERRUPTED'));
process.on('SIGTERM', () => interrupt('TERMINATED'));
process.on('SIGHUP', () => interrupt('TERMINATED'));
for (const stream of [stdout, stderr]) {
  // Whoever read the answers has gone, as `palyra audit list | head` does.
  stream.on('error', () => {
    if (!interruption.signal.aborted) interrupt('TERMINATED');
  });
}

const exitCode = await run({
  args: process.argv.slice(2),
  stdin,
  stdout,
  stderr,
  noColor: Boolean(env.NO_COLOR) || env.TERM === 'dumb',
  dumbTerminal: env.TERM === 'dumb',
  palyraHome: env.PALYRA_HOME,
  userHome: homedir(),
  environment: { PATH: env.PATH, HOME: env.HOME },
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
  supervision: {
    NOTIFY_SOCKET: env.NOTIFY_SOCKET,
    WATCHDOG_USEC: env.WATCHDOG_USEC,
    WATCHDOG_PID: env.WATCHDOG_PID,
  },
});
// Connections and prompts may still hold the process; what was printed goes out first.
stdout.write('', () => stderr.write('', () => process.exit(exitCode)));
