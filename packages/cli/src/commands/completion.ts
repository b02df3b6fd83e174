// `palyra completion`: what makes a shell complete commands, options and ids. `palyra complete` is what it asks.

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

/** Whoever pressed Tab does not wait longer for the daemon. */
const patienceMs = 3000;
const maxListed = 200;

export function addCompletion(program: Command, cli: () => Cli): void {
  withExamples(
    program
      .command('completion')
      .addArgument(new Argument('<shell>', 'which one').choices(shells))
      .summary('Print what makes a shell complete palyra.')
      .description(
        'Print what makes a shell complete commands, options, and the ids of devices and requests of the daemon here.',
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
      .argument('[words...]', 'the words behind palyra; the last one is being typed')
      .description('What a shell asks with each Tab.')
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

/** Nothing when it does not answer: a Tab is no place for errors. */
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
    // A shell inserts them.
    const named = all.filter(({ value }) => wholeId.test(value));
    // The end of an id is what tables show; whoever types the beginning gets the whole.
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

/** Also of a device's name: it cannot become a line or a field of its own. */
function oneLine(text: string): string {
  return printable(text.replace(/\n[\s\S]*/, ''));
}
