// `palyra pair` without an address: the person chooses among the daemons on the local network. Any machine there can
// claim to be any daemon; the code and the words decide which one the device trusts.

import { type Cli, followUp } from './cli.ts';
import { CliError } from './failure.ts';
import { untilInterrupted } from './interruption.ts';
import { printable } from './printable.ts';
import { askWhich, canAsk } from './question.ts';

/** @returns host:port. @throws USAGE if no daemon answers or there is nobody to ask; INTERRUPTED */
export async function chooseOnLan(cli: Cli): Promise<string> {
  const { interrupted } = cli.invocation;
  const stopProgress = cli.output.progress(() => 'Looking for daemons on this network');
  // Loaded here so that the other commands start without it.
  const { searchLan } = await import('@palyra/daemon');
  const found = await untilInterrupted(interrupted, searchLan({ signal: interrupted })).finally(stopProgress);
  if (canAsk(cli) && found.length > 0) {
    const options = found.map(({ trustDomain, address }) => ({
      value: address,
      label: `${printable(trustDomain)} at ${printable(address)}`,
    }));
    return askWhich(cli, 'Which daemon? It prints its trust domain at its start.', options);
  }
  const list = found.map(({ trustDomain, address }) => `\n  ${trustDomain} at ${address}`).join('');
  throw new CliError(
    'USAGE',
    found.length === 0
      ? `No daemon answers on this network. Give the address of your daemon: ${followUp(cli, 'pair 192.168.1.5')} (or a QR code: --qr FILE)`
      : `These claim to be daemons on this network:${list}\nGive the address of the right one: ${followUp(cli, 'pair ADDRESS')}`,
  );
}
