// `palyra node use`: makes a daemon the default for commands that name none.

import { loadEnrollments, setDefaultDaemon } from '@palyra/identity/device';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { chooseDaemon, daemonArgument, openDeviceStore } from '../device-store.ts';
import { withExamples } from '../help.ts';

export function addNodeUse(node: Command, cli: () => Cli): void {
  withExamples(
    node
      .command('use')
      .argument('<daemon>', daemonArgument)
      .description('Make a daemon the default of this device, for commands that name none.')
      .action((reference: string) => use(cli(), reference)),
    'palyra node use 7K3QX9AB',
    'palyra node use home.example.internal --json',
  );
}

async function use(cli: Cli, reference: string): Promise<void> {
  const secrets = await openDeviceStore(cli.home);
  try {
    const paired = (await loadEnrollments(secrets)).filter((each) => each.state === 'paired');
    const { root, daemonId, trustDomain } = await chooseDaemon(cli, paired, reference, '');
    await setDefaultDaemon(secrets, root);
    cli.output.answer(
      { daemon_id: daemonId, trust_domain: trustDomain, root_fingerprint: root },
      () => `The default daemon of this device is now ${daemonId} of ${trustDomain} (root SHA-256 ${root}).`,
    );
  } finally {
    await secrets.close();
  }
}
