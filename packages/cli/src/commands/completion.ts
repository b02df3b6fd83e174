// `palyra completion` prints a script that makes a shell complete commands, options and ids. The script asks
// `palyra complete`.

import { deviceStates, PairingState } from '@palyra/rpc/admin';
import { Argument, type Command } from 'commander';
import { type Admin, withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import {
  type Candidate,
  complete,
  type GlobalOptions,
  type Source,
  startingWith,
} from '../completion/candidates.ts';
import { type Shell, scripts, shells } from '../completion/scripts.ts';
import { withExamples } from '../help.ts';
import { resolveHome } from '../home.ts';
import { printable } from '../printable.ts';
import { shortId, wholeId } from '../reference.ts';
import { remoteOf } from '../remote.ts';

/** Longest wait for the daemon after the person presses Tab. */
const patienceMs = 3000;
const maxListed = 200;

export function addCompletion(program: Command, cli: () => Cli): void {
  withExamples(
    program
      .command('completion')
      .addArgument(new Argument('<shell>', 'the shell').choices(shells))
      .summary('Print the completion script for a shell.')
      .description(
        'Print a script that makes a shell complete commands, options, and the ids of devices and requests of the daemon here.',
      )
      .action((shell: Shell) => {
        cli().output.answer({ shell, script: scripts[shell] }, () => scripts[shell].trimEnd());
      }),
    'palyra completion bash > ~/.local/share/bash-completion/completions/palyra',
    'palyra completion zsh > ~/.zfunc/_palyra',
    'palyra completion fish > ~/.config/fish/completions/palyra.fish',
  );
  withExamples(
    program
      .command('complete', { hidden: true })
      .argument('[words...]', 'the words after palyra; the last one is incomplete')
      .description('Answer a completion script. A shell runs this at each Tab.')
      .action((words: readonly string[]) => answer(program, cli(), words)),
    'palyra complete pairing',
  );
}

async function answer(program: Command, cli: Cli, words: readonly string[]): Promise<void> {
  const completion = complete(program, words);
  const print = (lines: readonly string[]) => cli.invocation.stdout.write(`${lines.join('\n')}\n`);
  if ('source' in completion && (completion.source === 'file' || completion.source === 'folder')) {
    print([completion.source]);
    return;
  }
  const found =
    'words' in completion
      ? completion.words
      : await fromDaemon(cli, completion.source, {
          current: words.at(-1) ?? '',
          options: completion.options,
        });
  print(['words', ...found.map(({ value, description }) => `${value}\t${oneLine(description)}`)]);
}

/** Returns nothing when the daemon does not answer, because completion must not print errors. */
async function fromDaemon(
  cli: Cli,
  source: Source,
  { current, options }: { readonly current: string; readonly options: GlobalOptions },
): Promise<readonly Candidate[]> {
  const { invocation } = cli;
  const interrupted = AbortSignal.any([invocation.interrupted, AbortSignal.timeout(patienceMs)]);
  const home = options.home?.replace(/^~(?=\/|$)/, invocation.userHome ?? '~');
  const remote = remoteOf(options);
  try {
    const patient = {
      ...cli,
      invocation: { ...invocation, interrupted },
      home: home === undefined ? cli.home : resolveHome(home, invocation),
      ...(remote && { remote }),
    };
    const all = await withAdmin(patient, (admin) => list(admin, source), { progress: false });
    // The shell inserts the ids into the command line, so only well-formed ones are offered.
    const named = all.filter(({ value }) => wholeId.test(value));
    // Tables show the end of an id. Typing its beginning completes the whole id.
    const byEnd = startingWith(
      current,
      named.map(({ value, description }) => ({ value: shortId(value), description })),
    );
    return current === '' || byEnd.words.length > 0 ? byEnd.words : startingWith(current, named).words;
  } catch {
    return [];
  }
}

async function list(admin: Admin, source: Source): Promise<Candidate[]> {
  const wantsDevices = source === 'device' || source === 'id';
  const { devices } = wantsDevices ? await admin.listDevices({ limit: maxListed }) : { devices: [] };
  const { pairings } =
    source === 'device' ? { pairings: [] } : await admin.listPairings({ openOnly: true, limit: maxListed });
  return [
    ...devices.map(({ id, name, state }) => ({
      value: id,
      description: `${name}, ${deviceStates.show(state)}`,
    })),
    ...pairings
      .filter(({ state }) => source !== 'request' || state === PairingState.PENDING_APPROVAL)
      .map(({ id, slot, device }) => ({
        value: id,
        description: device ? `${device.name}, ${device.words}` : slot ? `code ${slot}` : 'QR code',
      })),
  ];
}

/** Keeps text such as a device's name from starting a line or a field of its own. */
function oneLine(text: string): string {
  return printable(text.replace(/\n[\s\S]*/, ''));
}
