// `palyra node forget`: what this device keeps of a daemon, removed by an explicit act of the person.

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
        'Remove what this device keeps of a daemon: its root, the certificate, a request that waits. The daemon is not told.',
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
        throw new CliError('NO_TERMINAL', 'There is no terminal to ask on. If you are sure, add --yes.');
      await askYes(cli, `Forget the daemon ${what}? To be its device again, this one must be paired anew.`);
    }
    for (const each of known) if (each.root === root) await dropEnrollment(secrets, each);
    cli.output.answer(
      { forgotten: true, daemon_id: daemonId, root_fingerprint: root },
      () =>
        `Forgot the daemon ${what}. The daemon still knows this device; its operator ends that with: palyra devices revoke DEVICE`,
    );
  } finally {
    await secrets.close();
  }
}
