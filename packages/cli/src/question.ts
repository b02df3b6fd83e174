// Questions to the person at the terminal. They are asked on stderr, so that stdout holds answers only.

import { confirm, isCancel, password, select, text } from '@clack/prompts';
import type { Cli } from './cli.ts';
import { CliError } from './failure.ts';
import { printableAnswer } from './printable.ts';

/** Whether anybody can be asked. Programs are not: with --json nothing is. */
export function canAsk({ invocation, output }: Cli): boolean {
  return !output.json && invocation.stdin.isTTY === true && invocation.stderr.isTTY === true;
}

/** @param check what is wrong with the text so far, shown until it is right. @throws INTERRUPTED */
export async function askText(
  cli: Cli,
  message: string,
  options: { readonly placeholder: string; readonly check: (text: string) => string | undefined },
): Promise<string> {
  const answer = await text({
    ...streams(cli),
    message: printableAnswer(message),
    placeholder: options.placeholder,
    validate: (value) => options.check(value ?? ''),
  });
  return given<string>(cli, answer);
}

/** What is typed is not shown. @throws INTERRUPTED */
export async function askSecret(cli: Cli, message: string): Promise<string> {
  return given<string>(cli, await password({ ...streams(cli), message: printableAnswer(message) }));
}

/** No is what Enter alone says. @throws CANCELLED, INTERRUPTED */
export async function askYes(cli: Cli, message: string): Promise<void> {
  const answer = await confirm({ ...streams(cli), message: printableAnswer(message), initialValue: false });
  if (!given<boolean>(cli, answer)) throw new CliError('CANCELLED', 'Nothing was changed.');
}

/** @returns the value of the option that was chosen. @throws INTERRUPTED */
export async function askWhich(
  cli: Cli,
  message: string,
  options: readonly { readonly value: string; readonly label: string }[],
): Promise<string> {
  const answer = await select({
    ...streams(cli),
    message: printableAnswer(message),
    options: options.map(({ value, label }) => ({ value, label: printableAnswer(label) })),
  });
  return given<string>(cli, answer);
}

function streams({ invocation }: Cli) {
  return {
    input: invocation.stdin,
    output: invocation.stderr,
    signal: invocation.interrupted,
    withGuide: false,
  };
}

/** While a question is open the terminal sends Ctrl-C as a key, not as a signal. */
function given<T>(cli: Cli, answer: T | symbol): T {
  if (!isCancel(answer)) return answer as T;
  throw cli.invocation.interrupted.reason ?? new CliError('INTERRUPTED', 'Interrupted; nothing was changed.');
}
