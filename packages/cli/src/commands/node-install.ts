// `palyra node install` and `uninstall`: the agent of a paired device as a service.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { nodeService, serviceUser } from '../installed-service.ts';
import { addRunOptions, checkRunOptions, type RunOptions } from './node-run.ts';
import {
  type InstallOptions,
  install,
  type PlaceOptions,
  placeOfService,
  uninstall,
  withInstallOptions,
} from './service-install.ts';

interface NodeInstallOptions extends InstallOptions, RunOptions {
  readonly runAs?: string;
}

export function addNodeInstall(node: Command, cli: () => Cli): void {
  withExamples(
    addRunOptions(
      withInstallOptions(
        node
          .command('install')
          .summary('Install the agent as a systemd service.')
          .description(
            'Write a hardened systemd unit that runs `palyra node run` with these options, and say what to run next. Run it as root for a system service, which has its own user; use --user for a service that runs as you.',
          ),
      ),
    )
      .option('--run-as <user>', `the user that a system service runs as (default: ${serviceUser})`)
      .action((_: unknown, command: Command) =>
        installNode(cli(), command.optsWithGlobals<NodeInstallOptions>()),
      ),
    'palyra node install',
    'palyra node install --out /etc/nginx/palyra --on-renew "systemctl try-reload-or-restart nginx" --run-as root --home /var/lib/palyra-device',
    'palyra node install --user --print',
  );
  withExamples(
    node
      .command('uninstall')
      .description('Remove the systemd unit. The data of the device is kept.')
      .option('--user', 'remove the service of your own user')
      .option('--root <dir>', 'remove the unit below this folder')
      .action((options: PlaceOptions) => uninstall(cli(), 'palyra-node', options)),
    'palyra node uninstall',
  );
}

function installNode(cli: Cli, options: NodeInstallOptions): Promise<void> {
  checkRunOptions(options);
  const { user, runAs = serviceUser, daemon, transport, capabilities, out, onRenew, notify } = options;
  if (user && options.runAs !== undefined)
    throw new CliError('USAGE', 'A service installed with --user runs as you: leave out --run-as.');
  if (notify && !user)
    throw new CliError(
      'USAGE',
      'A service of the machine has no desktop: install it with --user for --notify.',
    );
  // The names that useradd accepts; systemd reads a number, %i or a space differently.
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(runAs))
    throw new CliError('USAGE', `${JSON.stringify(runAs)} is not a user name.`);
  if (runAs !== serviceUser && options.home === undefined)
    throw new CliError(
      'USAGE',
      `/var/lib/palyra belongs to the user ${serviceUser}. Name a home for ${runAs}: --home /var/lib/palyra-device`,
    );
  const service = nodeService({
    ...placeOfService(cli, options),
    user: runAs,
    ...(daemon !== undefined && { daemon }),
    ...(transport !== 'auto' && { transport }),
    ...(capabilities !== undefined && { capabilities: resolve(capabilities) }),
    ...(out !== undefined && { out: resolve(out) }),
    ...(onRenew !== undefined && { onRenew }),
    ...(notify && { notify }),
  });
  return install(cli, service, options, {
    what: 'Pair the device, before or after that:',
    command: 'pair ADDRESS',
  });
}
