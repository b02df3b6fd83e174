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
  /** Options of `palyra daemon` itself. */
  readonly config?: string;
}

export function addDaemonInstall(daemon: Command, cli: () => Cli): void {
  withExamples(
    withInstallOptions(
      daemon
        .command('install')
        .summary('Install the daemon as a systemd service.')
        .description(
          'Write a hardened systemd unit that runs the daemon, and say what to run next. Run it as root for a system service, which has its own user; use --user for a service that runs as you.',
        ),
    )
      .option(
        '--credential <file>',
        'a file with the master key or passphrase; only systemd needs to read it',
      )
      .option(
        '--encrypted-credential <file>',
        'the master key or passphrase, encrypted by systemd-creds encrypt',
      )
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
      .description('Remove the systemd unit. The data of the daemon is kept.')
      .option('--user', 'remove the service of your own user')
      .option('--root <dir>', 'remove the unit below this folder')
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
      `Only a systemd system service accepts a credential: leave out --${user ? 'user' : 'launchd'}.`,
    );
  if (credential !== undefined && encryptedCredential !== undefined)
    throw new CliError('USAGE', 'Use either --credential or --encrypted-credential, not both.');
  const service = daemonService({
    ...placeOfService(cli, options),
    ...(config !== undefined && { config: resolve(config) }),
    ...(file !== undefined && {
      credential: { path: resolve(file), encrypted: encryptedCredential !== undefined },
    }),
  });
  return install(cli, service, options, { what: 'Then pair the first device:', command: 'pairing code' });
}
