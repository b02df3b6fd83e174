// Questions to the person at the terminal. They go to stderr, so that stdout holds only answers.

import type { Cli } from './cli.ts';
import { CliError } from './failure.ts';
import { plainSink } from './plain-ascii.ts';
import { printableAnswer } from './printable.ts';

/** Loaded for a question, because most commands ask none. */
const prompts = () => import('@clack/prompts');

/** Whether there is a person to ask. With --json there never is. */
export function canAsk({ invocation, output }: Cli): boolean {
  return !output.json && invocation.stdin.isTTY === true && invocation.stderr.isTTY === true;
}

/** @param check returns what is wrong with the text, which is shown until the text is right. @throws INTERRUPTED */
export async function askText(
  cli: Cli,
  message: string,
  options: { readonly placeholder: string; readonly check: (text: string) => string | undefined },
): Promise<string> {
  const { text } = await prompts();
  const answer = await text({
    ...streams(cli),
    message: printableAnswer(message),
    placeholder: options.placeholder,
    validate: (value) => options.check(value ?? ''),
  });
  return given<string>(cli, answer);
}

/** Does not show the typed text. @throws INTERRUPTED */
export async function askSecret(cli: Cli, message: string): Promise<string> {
  const { password } = await prompts();
  return given<string>(cli, await password({ ...streams(cli), message: printableAnswer(message) }));
}

/** Enter alone means no. @throws CANCELLED, INTERRUPTED */
export async function askYes(cli: Cli, message: string): Promise<void> {
  const { confirm } = await prompts();
  const answer = await confirm({ ...streams(cli), message: printableAnswer(message), initialValue: false });
  if (!given<boolean>(cli, answer)) throw new CliError('CANCELLED', 'Nothing was changed.');
}

/** @returns the value of the chosen option. @throws INTERRUPTED */
export async function askWhich(
  cli: Cli,
  message: string,
  options: readonly { readonly value: string; readonly label: string }[],
): Promise<string> {
  const { select } = await prompts();
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
    output: invocation.showsBoxes ? invocation.stderr : plainSink(invocation.stderr),
    signal: invocation.interrupted,
    withGuide: false,
  };
}

/** During a question, the terminal sends Ctrl-C as a key, not as a signal. */
function given<T>(cli: Cli, answer: T | symbol): T {
  // The only symbol among the answers says that the person gave none.
  if (typeof answer !== 'symbol') return answer;
  throw cli.invocation.interrupted.reason ?? new CliError('INTERRUPTED', 'Interrupted. Nothing was changed.');
}
