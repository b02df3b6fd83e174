// `palyra registry`: takes the registry of a stopped daemon into a database or back into its home, and sets a database up for a
// role with the least rights.

import { resolve } from 'node:path';
import type { MovedRegistry } from '@palyra/daemon/home';
import type { Command } from 'commander';
import { type Cli, followUp } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { configOption } from './backup.ts';

type Moved = Omit<MovedRegistry, 'aside'>;

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
        'Move the registry and the secrets of the stopped daemon into an empty PostgreSQL database, or back into its home.',
      )
      .requiredOption('--to <place>', 'postgres or file')
      .option('--url-file <file>', 'for postgres: the file with the URL of the database')
      .option(...configOption)
      .action((options: MoveOptions) => move(cli(), options)),
    'palyra registry move --to postgres --url-file /etc/palyra/database-url',
    'palyra registry move --to file',
  );
  withExamples(
    registry
      .command('sql')
      .description(
        'Print the SQL for a database, its owner, and a role of the daemons with the least rights.',
      )
      .option('--database <name>', 'the database', 'palyra')
      .option('--owner <role>', 'owns the tables', 'palyra_owner')
      .option('--serve-as <role>', 'the role of the daemons', 'palyra')
      .action((options: SqlOptions) => printSql(cli(), options)),
    'palyra registry sql | psql --username postgres',
  );
  withExamples(
    registry
      .command('prepare')
      .description('Make or update the tables as their owner, and give the role of the daemons its rights.')
      .requiredOption('--url-file <file>', "the file with the owner's URL of the database")
      .option('--serve-as <role>', 'the role of the daemons', 'palyra')
      .action((options: PrepareOptions) => prepare(cli(), options)),
    'palyra registry prepare --url-file owner-url',
  );
}

interface SqlOptions {
  readonly database: string;
  readonly owner: string;
  readonly serveAs: string;
}

interface PrepareOptions {
  readonly urlFile: string;
  readonly serveAs: string;
}

async function printSql(cli: Cli, { database, owner, serveAs }: SqlOptions): Promise<void> {
  const { databaseSql } = await import('@palyra/daemon/home');
  const text = await databaseSql({ database, owner, servedBy: serveAs });
  cli.output.answer({ sql: text }, () => text.trimEnd());
}

async function prepare(cli: Cli, { urlFile, serveAs }: PrepareOptions): Promise<void> {
  const { prepareDatabase } = await import('@palyra/daemon/home');
  const stopProgress = cli.output.progress(() => 'Making the tables');
  await prepareDatabase(resolve(urlFile), serveAs).finally(stopProgress);
  cli.output.answer(
    { prepared: true, serve_as: serveAs },
    () =>
      `The database has the tables of this version. The role ${serveAs} may serve them, and cannot change them.`,
  );
}

function move(cli: Cli, options: MoveOptions): Promise<void> {
  if (options.to === 'postgres') return moveToDatabase(cli, options);
  if (options.to === 'file') return moveToFile(cli, options);
  throw new CliError('USAGE', 'Name the place: --to postgres or --to file.');
}

async function moveToDatabase(cli: Cli, { urlFile, config }: MoveOptions): Promise<void> {
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
  cli.output.answer({ ...asJson(moved), aside: moved.aside }, () =>
    [
      `The registry is in the database: ${counted(moved)}`,
      `The files are kept in ${moved.aside}. They do not learn of later revocations: remove them when all is well.`,
      `Put this into config.json: "registry": {"from": "postgres", "urlFile": ${JSON.stringify(file)}}`,
      `Then start the daemon: ${followUp(cli, 'daemon')}`,
    ].join('\n'),
  );
}

async function moveToFile(cli: Cli, { urlFile, config }: MoveOptions): Promise<void> {
  if (urlFile !== undefined)
    throw new CliError('USAGE', 'Leave --url-file out: the configuration names the database.');
  const { moveRegistryBack } = await import('@palyra/daemon/home');
  const stopProgress = cli.output.progress(() => 'Copying and verifying');
  const moved = await moveRegistryBack(
    cli.home.path,
    config === undefined ? {} : { configFile: config },
  ).finally(stopProgress);
  cli.output.answer(asJson(moved), () =>
    [
      `The registry is in this home: ${counted(moved)}`,
      'The database is marked as moved, and no daemon serves it any more. It does not learn of later revocations: drop it when all is well.',
      'Take "registry" out of config.json.',
      `Then start the daemon: ${followUp(cli, 'daemon')}`,
    ].join('\n'),
  );
}

const asJson = ({ seq, hash, devices, certificates }: Moved) => ({
  moved: true,
  audit_seq: seq,
  audit_hash: hash,
  devices,
  certificates,
});

const counted = ({ seq, devices, certificates }: Moved) =>
  `${devices} devices, ${certificates} certificates, ${seq} rows of the audit. Both sides verify and are equal.`;
