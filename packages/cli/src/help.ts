// The parts of the help that are common to all commands.

import type { Command } from 'commander';

/** Adds examples to the help. Each example is a whole command line. */
export function withExamples(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length === 1 ? 'Example:' : 'Examples:';
  return command.addHelpText('after', `\n${title}\n${examples.map((each) => `  ${each}`).join('\n')}`);
}
