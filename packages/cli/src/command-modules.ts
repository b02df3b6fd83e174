// The modules of the commands. A run loads only those that it needs, because most of a command's time is its start.

import type { Command } from 'commander';
import type { Cli } from './cli.ts';

export interface CommandModule {
  /** The first words of its commands. */
  readonly words: readonly string[];
  readonly load: () => Promise<(program: Command, cli: () => Cli) => void>;
}

/** In the order of the help. */
export const commandModules: readonly CommandModule[] = [
  { words: ['daemon'], load: async () => (await import('./commands/daemon.ts')).addDaemon },
  { words: ['pair'], load: async () => (await import('./commands/pair.ts')).addPair },
  { words: ['pairing'], load: async () => (await import('./commands/pairing.ts')).addPairing },
  { words: ['devices'], load: async () => (await import('./commands/devices.ts')).addDevices },
  { words: ['node'], load: async () => (await import('./commands/node.ts')).addNode },
  { words: ['renew'], load: async () => (await import('./commands/renew.ts')).addRenew },
  {
    words: ['backup', 'restore', 'secrets', 'doctor'],
    load: async () => (await import('./commands/backup.ts')).addBackup,
  },
  { words: ['registry'], load: async () => (await import('./commands/registry.ts')).addRegistry },
  { words: ['status', 'why'], load: async () => (await import('./commands/status.ts')).addStatus },
  { words: ['ca'], load: async () => (await import('./commands/ca.ts')).addCa },
  { words: ['audit'], load: async () => (await import('./commands/audit.ts')).addAudit },
  { words: ['console'], load: async () => (await import('./commands/console.ts')).addConsole },
  { words: ['fleet'], load: async () => (await import('./commands/fleet.ts')).addFleet },
  { words: ['passkeys'], load: async () => (await import('./commands/passkeys.ts')).addPasskeys },
  {
    words: ['completion', 'complete'],
    load: async () => (await import('./commands/completion.ts')).addCompletion,
  },
];

/** Options of the program that take a value. */
const valued: readonly string[] = ['--home', '--remote-daemon', '--remote-address'];

/** The modules for these arguments: all of them for the program's own help, and for a word that is no command. */
export function neededModules(args: readonly string[]): readonly CommandModule[] {
  const places = [...args.keys()].filter(
    (at) => !args[at]!.startsWith('-') && !valued.includes(args[at - 1] ?? ''),
  );
  const moduleAt = (place: number | undefined) =>
    commandModules.find(({ words }) => place !== undefined && words.includes(args[place]!));
  const first = moduleAt(places[0]);
  if (!first) return args.length === 1 && args[0] === '--version' ? [] : commandModules;
  if (args[places[0]!] !== 'complete') return [first];
  // The words of the line that is being completed. Its first word may still become that of another command.
  const completed = moduleAt(places[1]);
  return completed && places[1]! < args.length - 1 ? [first, completed] : commandModules;
}
