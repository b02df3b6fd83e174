// Help texts that every command has the same way.

import type { Command } from 'commander';

/** Shows how the command is used. Each example is a whole command line. */
export function withExamples(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length === 1 ? 'Example:' : 'Examples:';
  return command.addHelpText('after', `\n${title}\n${examples.map((each) => `  ${each}`).join('\n')}`);
}
