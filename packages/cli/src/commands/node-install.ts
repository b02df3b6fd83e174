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
          .summary('Make the agent a service of systemd.')
          .description(
            'Write a hardened systemd unit that runs `palyra node run` with these options, and say what to run next. As root for the machine, with a user of its own; with --user for yourself.',
          ),
      ),
    )
      .option('--run-as <user>', `whom the service of the machine runs as (default: ${serviceUser})`)
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
      .description('Remove the systemd unit again. What the device has stored stays.')
      .option('--user', 'the service of your own')
      .option('--root <dir>', 'remove it below this folder')
      .action((options: PlaceOptions) => uninstall(cli(), 'palyra-node', options)),
    'palyra node uninstall',
  );
}

function installNode(cli: Cli, options: NodeInstallOptions): Promise<void> {
  checkRunOptions(options);
  const { user, runAs = serviceUser, daemon, transport, capabilities, out, onRenew } = options;
  if (user && options.runAs !== undefined)
    throw new CliError('USAGE', 'A service of your own runs as you: leave out --run-as.');
  // What useradd takes; a number, %i or a space would be something else to systemd.
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(runAs))
    throw new CliError('USAGE', `${JSON.stringify(runAs)} is no name of a user.`);
  if (runAs !== serviceUser && options.home === undefined)
    throw new CliError(
      'USAGE',
      `/var/lib/palyra is the user ${serviceUser}'s. Name a home for ${runAs}: --home /var/lib/palyra-device`,
    );
  const service = nodeService({
    ...placeOfService(cli, options),
    user: runAs,
    ...(daemon !== undefined && { daemon }),
    ...(transport !== 'auto' && { transport }),
    ...(capabilities !== undefined && { capabilities: resolve(capabilities) }),
    ...(out !== undefined && { out: resolve(out) }),
    ...(onRenew !== undefined && { onRenew }),
  });
  return install(cli, service, options, {
    what: 'It needs to be paired, before or after that:',
    command: 'pair ADDRESS',
  });
}
