// `palyra pair` without an address: which of the daemons on the local network is meant. Anybody there can answer as anybody;
// the code and the words decide whom the device believes.

import { type Cli, followUp } from './cli.ts';
import { CliError } from './failure.ts';
import { untilInterrupted } from './interruption.ts';
import { printable } from './printable.ts';
import { askWhich, canAsk } from './question.ts';

/** @returns host:port. @throws USAGE where none answers or nobody can be asked; INTERRUPTED */
export async function chooseOnLan(cli: Cli): Promise<string> {
  const { interrupted } = cli.invocation;
  const stopProgress = cli.output.progress(() => 'Looking for daemons on this network');
  // Loaded here, so that the other commands start without it.
  const { searchLan } = await import('@palyra/daemon');
  const found = await untilInterrupted(interrupted, searchLan({ signal: interrupted })).finally(stopProgress);
  if (canAsk(cli) && found.length > 0) {
    const options = found.map(({ trustDomain, address }) => ({
      value: address,
      label: `${printable(trustDomain)} at ${printable(address)}`,
    }));
    return askWhich(cli, 'Which daemon, as it names itself at its start?', options);
  }
  const list = found.map(({ trustDomain, address }) => `\n  ${trustDomain} at ${address}`).join('');
  throw new CliError(
    'USAGE',
    found.length === 0
      ? `No daemon answers on this network. Give its address: ${followUp(cli, 'pair 192.168.1.5')} (or a QR code: --qr FILE)`
      : `These say that they are daemons on this network:${list}\nName the one that is meant: ${followUp(cli, 'pair ADDRESS')}`,
  );
}
