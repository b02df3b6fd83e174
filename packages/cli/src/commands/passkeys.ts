// `palyra passkeys`: the passkeys of the web console, listed and removed at the daemon's machine.

import type { Command } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { askYes, canAsk } from '../question.ts';
import { table } from '../table.ts';
import { formatTime, isoTime } from '../time.ts';

export function addPasskeys(program: Command, cli: () => Cli): void {
  const passkeys = program
    .command('passkeys')
    .description('The passkeys that the web console asks for. They are registered in the console.');
  withExamples(passkeys, 'palyra passkeys list', 'palyra passkeys remove 3q2-7w');
  withExamples(
    passkeys
      .command('list')
      .description('Show the passkeys.')
      .action(() => list(cli())),
    'palyra passkeys list',
  );
  withExamples(
    passkeys
      .command('remove')
      .argument('<id>', 'the id of the passkey, or enough of its beginning')
      .description(
        'Remove a passkey, such as one that is lost. After the last one, the console asks for none.',
      )
      .option('--yes', 'do not ask')
      .action((id: string, options: { yes?: boolean }) => remove(cli(), id, options)),
    'palyra passkeys remove 3q2-7w',
  );
}

async function list(cli: Cli): Promise<void> {
  const { passkeys } = await withAdmin(cli, (admin) => admin.listPasskeys({}));
  cli.output.answer({ passkeys: passkeys.map(passkeyJson) }, () => {
    if (passkeys.length === 0) return 'There is no passkey. The console asks for none.';
    const rows = passkeys.map(({ id, name, createdAtMs }) => [id, name, formatTime(createdAtMs, cli.now())]);
    return table(['ID', 'NAME', 'REGISTERED'], rows, { columns: cli.output.columns, keep: ['REGISTERED'] });
  });
}

async function remove(cli: Cli, wanted: string, { yes = false }: { yes?: boolean }): Promise<void> {
  const { passkeys } = await withAdmin(cli, (admin) => admin.listPasskeys({}));
  const [found, ...others] = passkeys.filter(({ id }) => wanted !== '' && id.startsWith(wanted));
  if (!found || others.length > 0) {
    throw new CliError(
      'NOTHING_FOUND',
      `${found ? 'More than one passkey has' : 'No passkey has'} an id that begins with "${wanted}". See: palyra passkeys list`,
    );
  }
  if (!yes) {
    if (!canAsk(cli)) {
      throw new CliError(
        'NO_TERMINAL',
        'There is no terminal to ask for confirmation. To confirm, add --yes.',
      );
    }
    await askYes(cli, `Remove the passkey "${found.name}"?`);
  }
  const removed = await withAdmin(cli, (admin) => admin.removePasskey({ id: found.id }));
  cli.output.answer(passkeyJson(removed), () => `The passkey "${removed.name}" is removed.`);
}

function passkeyJson({ id, name, createdAtMs }: { id: string; name: string; createdAtMs: bigint }) {
  return { id, name, created_at: isoTime(createdAtMs) };
}
