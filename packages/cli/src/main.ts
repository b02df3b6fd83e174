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

/** The first one ends the run in its own good time, the second one at once. */
function interrupt(code: 'INTERRUPTED' | 'TERMINATED'): void {
  const again = interruption.signal.aborted && performance.now() - interruptedAtMs > sameKeyMs;
  if (again) process.exit(exitCodes[code === 'INTERRUPTED' ? 'interrupted' : 'terminated']);
  if (interruption.signal.aborted) return;
  interruptedAtMs = performance.now();
  interruption.abort(new CliError(code, 'Interrupted.'));
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
  palyraHome: env.PALYRA_HOME,
  userHome: homedir(),
  environment: { PATH: env.PATH, HOME: env.HOME },
  hostName: hostname(),
  platform: `${process.platform}-${process.arch} node-${process.versions.node.split('.', 2).join('.')}`,
  program: env.npm_execpath ? 'npx palyra' : 'palyra',
  interrupted: interruption.signal,
});
// Connections and prompts may still hold the process; what was printed goes out first.
stdout.write('', () => stderr.write('', () => process.exit(exitCode)));
