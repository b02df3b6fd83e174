// `palyra fleet`: the daemons that share the registry.

import type { Command } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { fleetJson, fleetTable } from '../fleet-view.ts';
import { withExamples } from '../help.ts';

export function addFleet(program: Command, cli: () => Cli): void {
  const fleet = program.command('fleet').description('The daemons that share the registry in PostgreSQL.');
  withExamples(fleet, 'palyra fleet list', 'palyra fleet forget 01M8MQMBR6YY918EJ9Y6CMJN53');
  withExamples(
    fleet
      .command('list')
      .description('Show the daemons, and which of them did the last work for all.')
      .action(() => list(cli())),
    'palyra fleet list',
  );
  withExamples(
    fleet
      .command('forget')
      .argument('<id>', 'the id of the daemon')
      .description(
        'Remove a daemon that is gone. It is not shown any more, and other daemons refuse its certificate.',
      )
      .action((id: string) => forget(cli(), id)),
    'palyra fleet forget 01M8MQMBR6YY918EJ9Y6CMJN53',
  );
}

async function list(cli: Cli): Promise<void> {
  const status = await withAdmin(cli, (admin) => admin.getStatus({}));
  cli.output.answer(fleetJson(status), () =>
    status.daemons.length > 0 ? fleetTable(cli, status) : 'This daemon has its registry alone.',
  );
}

async function forget(cli: Cli, id: string): Promise<void> {
  await withAdmin(cli, (admin) => admin.forgetDaemon({ id }));
  cli.output.answer({ id }, () => `The daemon ${id} is forgotten.`);
}
