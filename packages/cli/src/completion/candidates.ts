// Lists the possible endings of a command line. The list comes from the program's own commands, arguments and options,
// so none is listed twice. A pure function of the program and the words.

import type { Argument, Command, Option } from 'commander';
import type { RemoteOptions } from '../remote.ts';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** Candidates that the shell or the daemon must find. Each is named like the argument or the option's value. */
const sources = ['file', 'folder', 'device', 'pairing', 'request', 'id'] as const;

export type Source = (typeof sources)[number];

/** The program's own options typed so far, which select the daemon. */
export type GlobalOptions = RemoteOptions & { readonly home?: string };

export type Completion =
  | { readonly words: readonly Candidate[] }
  | { readonly source: Source; readonly options: GlobalOptions };

/** @param words the words after the program's name; the last one is incomplete and may be empty. */
export function complete(program: Command, words: readonly string[]): Completion {
  const current = words.at(-1) ?? '';
  let command = program;
  let operands = 0;
  let optionsEnded = false;
  let awaiting: Option | undefined;
  const options: Record<string, string | true> = {};
  for (const word of words.slice(0, -1)) {
    if (awaiting) {
      // Some shells split `--kind=node` into three words.
      if (word === '=') continue;
      if (program.options.includes(awaiting)) options[awaiting.attributeName()] = word;
      awaiting = undefined;
    } else if (word === '--') optionsEnded = true;
    else if (word.startsWith('-') && !optionsEnded) {
      const [flag, value] = split(word);
      const option = optionNamed(command, flag);
      if (option?.required && value === undefined) awaiting = option;
      else if (option && program.options.includes(option)) options[option.attributeName()] = value ?? true;
    } else {
      const sub =
        operands === 0 &&
        command.commands.find((each) => each.name() === word || each.aliases().includes(word));
      if (sub) command = sub;
      else operands += 1;
    }
  }
  if (awaiting) return valuesOf(awaiting, current === '=' ? '' : current, options);
  if (current.startsWith('-') && !optionsEnded) {
    const [flag, value] = split(current);
    const option = value === undefined ? undefined : optionNamed(command, flag);
    if (!option) return startingWith(current, optionsOf(command).map(optionCandidate));
    return startingWith(
      current,
      (option.argChoices ?? []).map((each) => ({ value: `${flag}=${each}`, description: '' })),
    );
  }
  if (operands === 0 && command.commands.length > 0) {
    const visible = command.createHelp().visibleCommands(command);
    return startingWith(
      current,
      visible.map((each) => ({
        value: each.name(),
        description: each.summary() || each.description().replace(/(?<=\.)\s[\s\S]*/, ''),
      })),
    );
  }
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  const argument = registeredArguments[operands] ?? (last?.variadic ? last : undefined);
  return argument ? valuesOf(argument, current, options) : { words: [] };
}

export function startingWith(
  current: string,
  candidates: readonly Candidate[],
): { words: readonly Candidate[] } {
  const wanted = current.toLowerCase();
  return { words: candidates.filter(({ value }) => value.toLowerCase().startsWith(wanted)) };
}

function valuesOf(what: Argument | Option, current: string, options: GlobalOptions): Completion {
  if (what.argChoices) {
    return startingWith(
      current,
      what.argChoices.map((value) => ({ value, description: '' })),
    );
  }
  const name = 'flags' in what ? /<([a-z]+)>/.exec(what.flags)?.[1] : what.name();
  const source = sources.find((each) => each === name);
  return source ? { source, options } : { words: [] };
}

function split(word: string): [flag: string, value: string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function optionNamed(command: Command, flag: string): Option | undefined {
  return optionsOf(command).find(({ long, short }) => long === flag || short === flag);
}

/** The command's own options, those of its parent commands, and `--help`. */
function optionsOf(command: Command): Option[] {
  const help = command.createHelp();
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
}

function optionCandidate({ long, short, description }: Option): Candidate {
  return { value: long ?? short ?? '', description };
}
