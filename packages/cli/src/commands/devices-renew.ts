// `palyra devices renew`: asks devices to renew their certificates before the planned time.

import { type Command, Option } from 'commander';
import { type Admin, withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { formatSpan, parseSpan } from '../time.ts';
import { resolveDevice } from './device-lookup.ts';

interface RenewOptions {
  readonly all?: boolean;
  readonly within?: number;
}

/** Of a whole fleet, ms. */
const spreadMs = 60 * 60_000;

export function addDevicesRenew(devices: Command, cli: () => Cli): void {
  withExamples(
    devices
      .command('renew')
      .argument('[devices...]', 'the devices: their ids, or enough of the beginning or end of each')
      .description(
        'Ask devices to renew their certificates now: after you have shortened their life, or before a new root. Agents that are connected learn of it at once, the others when they connect. A device without an agent renews with: palyra renew',
      )
      .option('--all', 'every device with a valid certificate')
      .addOption(
        new Option(
          '--within <time>',
          'spread the renewals over this time (default: at once, and 1h with --all)',
        ).argParser(parseSpan),
      )
      .action((ids: string[], options: RenewOptions) => renew(cli(), ids, options)),
    'palyra devices renew 7K3QX9AB',
    'palyra devices renew --all --within 4h',
  );
}

async function renew(cli: Cli, references: readonly string[], options: RenewOptions): Promise<void> {
  const { all = false } = options;
  if (all === references.length > 0)
    throw new CliError(
      'USAGE',
      all ? 'Name devices, or give --all, not both.' : 'Name devices, or give --all.',
    );
  const withinMs = options.within ?? (all ? spreadMs : 0);
  const { asked, connected } = await withAdmin(cli, (admin) =>
    all ? askAll(admin, withinMs) : askNamed(cli, admin, references, withinMs),
  );
  cli.output.answer({ asked, connected, within_ms: withinMs }, () => {
    if (asked === 0) return 'No device has a valid certificate to renew.';
    const when = withinMs > 0 ? `within ${formatSpan(withinMs)}` : 'now';
    const away = asked - connected;
    const others =
      away > 0 ? ` ${count(away)} not connected and learn${away === 1 ? 's' : ''} of it later.` : '';
    return `${asked === 1 ? '1 device is' : `${asked} devices are`} asked to renew ${when}.${others}`;
  });
}

const count = (devices: number) => (devices === 1 ? '1 device is' : `${devices} devices are`);

async function askNamed(cli: Cli, admin: Admin, references: readonly string[], withinMs: number) {
  const ids: string[] = [];
  for (const reference of references) ids.push(await resolveDevice(cli, admin, reference));
  return admin.renewDevices({ ids, withinMs: BigInt(withinMs) });
}

async function askAll(admin: Admin, withinMs: number): Promise<{ asked: number; connected: number }> {
  const total = { asked: 0, connected: 0 };
  for (let after = ''; ; ) {
    const page = await admin.renewDevices({ all: true, after, withinMs: BigInt(withinMs) });
    total.asked += page.asked;
    total.connected += page.connected;
    // As with every list: a page that does not lead further is the last.
    if (page.nextAfter <= after) return total;
    after = page.nextAfter;
  }
}
