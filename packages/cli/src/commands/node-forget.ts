// `palyra node forget`: removes everything that this device has stored about a daemon.

import { dropEnrollment, loadEnrollments } from '@palyra/identity/device';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { chooseDaemon, daemonArgument, openDeviceStore } from '../device-store.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { askYes, canAsk } from '../question.ts';

export function addNodeForget(node: Command, cli: () => Cli): void {
  withExamples(
    node
      .command('forget')
      .argument('<daemon>', daemonArgument)
      .description(
        'Remove everything this device has stored about a daemon: its root, the certificate and any waiting request. The daemon is not told.',
      )
      .option('--yes', 'do not ask')
      .action((reference: string, options: { yes?: boolean }) => forget(cli(), reference, options)),
    'palyra node forget 7K3QX9AB',
    'palyra node forget 7K3QX9AB --yes --json',
  );
}

async function forget(cli: Cli, reference: string, { yes = false }: { yes?: boolean }): Promise<void> {
  const secrets = await openDeviceStore(cli.home);
  try {
    const known = await loadEnrollments(secrets);
    const { root, daemonId, address } = await chooseDaemon(cli, known, reference, '');
    const what = `${daemonId} at ${address} (root SHA-256 ${root})`;
    if (!yes) {
      if (!canAsk(cli))
        throw new CliError(
          'NO_TERMINAL',
          'There is no terminal to ask for confirmation. To confirm, add --yes.',
        );
      await askYes(cli, `Forget the daemon ${what}? To use it again, you must pair this device again.`);
    }
    for (const each of known) if (each.root === root) await dropEnrollment(secrets, each);
    cli.output.answer(
      { forgotten: true, daemon_id: daemonId, root_fingerprint: root },
      () =>
        `Forgot the daemon ${what}. The daemon still knows this device; to revoke it there, its operator runs: palyra devices revoke DEVICE`,
    );
  } finally {
    await secrets.close();
  }
}
