// `palyra daemon install` and `uninstall`: the daemon as a service.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { daemonService } from '../installed-service.ts';
import {
  type InstallOptions,
  install,
  type PlaceOptions,
  placeOfService,
  uninstall,
  withInstallOptions,
} from './service-install.ts';

interface DaemonInstallOptions extends InstallOptions {
  readonly credential?: string;
  readonly encryptedCredential?: string;
  /** Of `palyra daemon` itself. */
  readonly config?: string;
}

export function addDaemonInstall(daemon: Command, cli: () => Cli): void {
  withExamples(
    withInstallOptions(
      daemon
        .command('install')
        .summary('Make the daemon a service of systemd.')
        .description(
          'Write a hardened systemd unit that runs the daemon, and say what to run next. As root for the machine, with a user of its own; with --user for yourself.',
        ),
    )
      .option('--credential <file>', 'the master key or passphrase, which only systemd needs to read')
      .option('--encrypted-credential <file>', 'the same, as systemd-creds encrypt wrote it')
      .action((_: unknown, command: Command) =>
        installDaemon(cli(), command.optsWithGlobals<DaemonInstallOptions>()),
      ),
    'palyra daemon install',
    'palyra daemon install --user --print',
    'palyra daemon install --encrypted-credential /etc/credstore.encrypted/palyra-master-key',
  );
  withExamples(
    daemon
      .command('uninstall')
      .description('Remove the systemd unit again. What the daemon has stored stays.')
      .option('--user', 'the service of your own')
      .option('--root <dir>', 'remove it below this folder')
      .action((options: PlaceOptions) => uninstall(cli(), 'palyra', options)),
    'palyra daemon uninstall',
  );
}

function installDaemon(cli: Cli, options: DaemonInstallOptions): Promise<void> {
  const { user, launchd, config, credential, encryptedCredential } = options;
  const file = credential ?? encryptedCredential;
  if ((user || launchd) && file !== undefined)
    throw new CliError(
      'USAGE',
      `A credential is for a service of the machine and of systemd: leave out --${user ? 'user' : 'launchd'}.`,
    );
  if (credential !== undefined && encryptedCredential !== undefined)
    throw new CliError('USAGE', 'Give the credential encrypted or not, not both.');
  const service = daemonService({
    ...placeOfService(cli, options),
    ...(config !== undefined && { config: resolve(config) }),
    ...(file !== undefined && {
      credential: { path: resolve(file), encrypted: encryptedCredential !== undefined },
    }),
  });
  return install(cli, service, options, { what: 'Then pair the first device:', command: 'pairing code' });
}
