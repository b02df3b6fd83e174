// `palyra registry move`: takes the registry of a stopped daemon into another place.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Cli, followUp } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { configOption } from './backup.ts';

interface MoveOptions {
  readonly to: string;
  readonly urlFile?: string;
  readonly config?: string;
}

export function addRegistry(program: Command, cli: () => Cli): void {
  const registry = program
    .command('registry')
    .description('The place of devices, certificates and the audit.');
  withExamples(registry, 'palyra registry move --to postgres --url-file /etc/palyra/database-url');
  withExamples(
    registry
      .command('move')
      .description(
        'Move the registry and the secrets of the stopped daemon into an empty PostgreSQL database.',
      )
      .requiredOption('--to <place>', 'postgres')
      .option('--url-file <file>', 'the file with the URL of the database')
      .option(...configOption)
      .action((options: MoveOptions) => move(cli(), options)),
    'palyra registry move --to postgres --url-file /etc/palyra/database-url',
  );
}

async function move(cli: Cli, { to, urlFile, config }: MoveOptions): Promise<void> {
  if (to !== 'postgres')
    throw new CliError(
      'USAGE',
      'A registry can only be moved to PostgreSQL: --to postgres. Moving back is not possible yet.',
    );
  if (urlFile === undefined)
    throw new CliError('USAGE', 'Name the file with the URL of the database: --url-file FILE');
  const { moveRegistry } = await import('@palyra/daemon/home');
  const file = resolve(urlFile);
  const stopProgress = cli.output.progress(() => 'Copying and verifying');
  const moved = await moveRegistry(
    cli.home.path,
    file,
    config === undefined ? {} : { configFile: config },
  ).finally(stopProgress);
  cli.output.answer(
    {
      moved: true,
      audit_seq: moved.seq,
      audit_hash: moved.hash,
      devices: moved.devices,
      certificates: moved.certificates,
      aside: moved.aside,
    },
    () =>
      [
        `The registry is in the database: ${moved.devices} devices, ${moved.certificates} certificates, ${moved.seq} rows of the audit. Both sides verify and are equal.`,
        `The files are kept in ${moved.aside}. They do not learn of later revocations: remove them when all is well.`,
        `Put this into config.json: "registry": {"from": "postgres", "urlFile": ${JSON.stringify(file)}}`,
        `Then start the daemon: ${followUp(cli, 'daemon')}`,
      ].join('\n'),
  );
}
