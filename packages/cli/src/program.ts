// The whole command line: every command, and the end of a run.

import { IdentityError } from '@palyra/identity/errors';
import { mustBeOwnFolder } from '@palyra/identity/files';
import { Command, CommanderError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { type Cli, sideOf } from './cli.ts';
import { type CommandModule, commandModules, neededModules } from './command-modules.ts';
import { CliError, exitCodeHelp, exitCodeLine, exitCodes, failureOf } from './failure.ts';
import { withExamples } from './help.ts';
import { resolveHome } from './home.ts';
import type { Invocation } from './invocation.ts';
import { nextStepOf } from './next-step.ts';
import { Output } from './output.ts';
import { type RemoteOptions, remoteOf, worksRemotely } from './remote.ts';

/** @returns the exit code. Never throws. */
export async function run(invocation: Invocation): Promise<number> {
  const program = await buildProgram(invocation, neededModules(invocation.args));
  const cli = cliOf(program, invocation);
  try {
    await program.parseAsync([...invocation.args], { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    const { output } = cli();
    // Commander has shown the help, because the command lacks its second word.
    if (error instanceof CommanderError && error.code === 'commander.help' && !output.json)
      return exitCodes.usage;
    const failure = failureOf(
      error instanceof CommanderError ? usageError(error, program, invocation) : error,
    );
    const next = error instanceof IdentityError ? stepAfter(cli(), error) : undefined;
    if (isInterruption(error) && !output.json) output.note(failure.message);
    else output.failure({ ...failure, ...(next !== undefined && { nextStep: next }) });
    return failure.exitCode;
  }
}

/** The home, if it is known. */
function stepAfter(cli: Cli, error: IdentityError): string | undefined {
  try {
    return nextStepOf(cli, error);
  } catch {
    return undefined;
  }
}

/** @param modules the commands that it has. */
export async function buildProgram(
  invocation: Invocation,
  modules: readonly CommandModule[] = commandModules,
): Promise<Command> {
  const program = new Command('palyra');
  const { stdout, stderr } = invocation;
  program
    .description('Palyra Identity: pair devices with your own daemon, over mutual TLS.')
    .version(packageJson.version)
    .option('--home <folder>', 'the folder for all data (default: PALYRA_HOME, or ~/.palyra)')
    .option('--json', 'print JSON for programs: one document, or one per line')
    .option(
      '--remote',
      'work on the daemon of another machine, over mutual TLS; this device must be an operator',
    )
    .option('--remote-daemon <daemon>', 'the daemon for --remote, when this device is paired with several')
    .option('--remote-address <address>', 'the node listener for --remote (default: palyra node endpoints)')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      // The failure is printed once, by the rules of output.ts.
      outputError: () => {},
      getOutHelpWidth: () => stdout.columns ?? 80,
      getErrHelpWidth: () => stderr.columns ?? 80,
      getOutHasColors: () => stdout.isTTY === true && !invocation.noColor,
      getErrHasColors: () => stderr.isTTY === true && !invocation.noColor,
    });
  const cli = cliOf(program, invocation);
  program.hook('preAction', async (_, action) => {
    const path = [action.parent, action]
      .map((each) => (each === program ? '' : each?.name()))
      .join(' ')
      .trim();
    if (cli().remote && !worksRemotely(path)) throw new CliError('USAGE', notRemote(path));
    if (needsOwnHome(path, cli().remote !== undefined)) await mustBeOwnFolder(cli().home.path);
  });
  for (const { load } of modules) (await load())(program, cli);
  withExamples(program, 'palyra daemon', 'palyra pair 192.168.1.5', 'palyra pairing approve');
  return program.addHelpText(
    'afterAll',
    ({ command }) => `\n${command === program ? exitCodeHelp : exitCodeLine}`,
  );
}

/** Called when needed, because the options are known only after parsing, even if that failed. */
function cliOf(program: Command, invocation: Invocation): () => Cli {
  return () => {
    const options = program.opts<RemoteOptions & { home?: string; json?: boolean }>();
    const { home, json } = options;
    const remote = remoteOf(options);
    return {
      invocation,
      output: new Output(invocation, json ?? invocation.args.includes('--json')),
      // Some commands, and error messages, need no home.
      get home() {
        return resolveHome(home, invocation);
      },
      side: sideOf(pathOf(program, invocation.args)),
      ...(remote && { remote }),
      now: Date.now,
    };
  };
}

/** Commands that use no home, or only the daemon's socket in it, which root may use too (admin.ts). */
const homeOfAnybody =
  /^(?:(?:daemon|node) (?:un)?install|complet(?:e|ion)|pairing|devices|node exec|ca|audit|status|why|console)(?![\w-])/;

/** Refuses another user's home, where files of this user would cause trouble. */
function needsOwnHome(command: string, isRemote: boolean): boolean {
  return !homeOfAnybody.test(command) || (isRemote && worksRemotely(command));
}

function notRemote(command: string): string {
  const why =
    sideOf(command) === 'device'
      ? 'is about this device itself: leave out --remote.'
      : "works only on the daemon's own machine, because it needs the daemon's keys or files, or grants rights. Run it there.";
  return `palyra ${command} ${why}`;
}

function usageError(error: CommanderError, program: Command, invocation: Invocation): CliError {
  const path = pathOf(program, invocation.args);
  const what =
    error.code === 'commander.help'
      ? 'a command is missing'
      : error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new CliError(
    'USAGE',
    `${what}${/[.)?]$/.test(what) ? '' : '.'} See: ${[invocation.program, path, '--help'].filter(Boolean).join(' ')}`,
  );
}

/** The command, even if its options cannot be parsed: `pairing code`, or empty for the program itself. */
function pathOf(program: Command, args: readonly string[]): string {
  const names: string[] = [];
  let command = program;
  for (const [at, word] of args.entries()) {
    const next =
      args[at - 1] === '--home' ? undefined : command.commands.find((each) => each.name() === word);
    if (!next) continue;
    command = next;
    names.push(word);
  }
  return names.join(' ');
}

function isInterruption(error: unknown): boolean {
  return error instanceof CliError && (error.code === 'INTERRUPTED' || error.code === 'TERMINATED');
}
