// `palyra node endpoints`: shows the addresses at which this device looks for its daemon, and sets them by hand.

import { IdentityError } from '@palyra/identity';
import {
  loadEnrollments,
  nodeEndpoints,
  type PairedEnrollment,
  pairingEndpoints,
  quicEndpoints,
  storeEndpointsByHand,
  webEndpoints,
} from '@palyra/identity/device';
import { type EndpointLists, formatEndpoint, MAX_ENDPOINTS, parseEndpoint } from '@palyra/identity/values';
import type { Command } from 'commander';
import { nodePort, pairingPort, parseAddress, parseChannelUrl } from '../address.ts';
import { type Cli, followUp } from '../cli.ts';
import { chooseDaemon, daemonOption, openDeviceStore, pairedEnrollment } from '../device-store.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { fields } from '../table.ts';

interface EndpointsOptions {
  readonly daemon?: string;
  readonly host?: readonly string[];
  readonly pairing?: readonly string[];
  readonly node?: readonly string[];
  readonly quic?: readonly string[];
  readonly web?: readonly string[];
  readonly reset?: boolean;
}

export function addNodeEndpoints(node: Command, cli: () => Cli): void {
  withExamples(
    node
      .command('endpoints')
      .description(
        'Show the addresses at which this device looks for its daemon, in order, or set them by hand. Addresses set by hand stay until --reset, even if the daemon announces others.',
      )
      .option('--daemon <daemon>', daemonOption)
      .option('--host <host...>', 'the host of the daemon; its ports stay as they are')
      .option('--node <address...>', 'its node listener (port 7444)')
      .option('--quic <address...>', 'its QUIC listener (port 7444)')
      .option('--web <url...>', 'its channel, as wss://host/path')
      .option('--pairing <address...>', 'its pairing listener, for a recovery (port 7443)')
      .option('--reset', 'use the addresses that the daemon announces again')
      .action((options: EndpointsOptions) => endpoints(cli(), options)),
    'palyra node endpoints',
    'palyra node endpoints --host 192.168.1.9',
    'palyra node endpoints --node daemon.example.org:8444 --node 192.168.1.9',
    'palyra node endpoints --reset --json',
  );
}

async function endpoints(cli: Cli, options: EndpointsOptions): Promise<void> {
  const isSet = [options.host, options.pairing, options.node, options.quic, options.web].some((each) => each);
  if (isSet && options.reset) throw new CliError('USAGE', 'Either set endpoints or use --reset, not both.');
  const enrollment = await pairedEnrollment(cli, options.daemon);
  show(cli, isSet || options.reset ? await change(cli, enrollment, options) : enrollment);
}

async function change(
  cli: Cli,
  enrollment: PairedEnrollment,
  options: EndpointsOptions,
): Promise<PairedEnrollment> {
  const secrets = await openDeviceStore(cli.home);
  try {
    const records = (await loadEnrollments(secrets)).filter((each) => each.state === 'paired');
    const { byHand: before, ...known } = await chooseDaemon(cli, records, enrollment.root, '--daemon');
    const byHand = options.reset ? undefined : { ...before, ...wanted(known, options) };
    await storeEndpointsByHand(secrets, known.root, byHand);
    return { ...known, ...(byHand && { byHand }) };
  } finally {
    await secrets.close();
  }
}

/** The endpoints that the options name, and no others. */
function wanted(known: PairedEnrollment, options: EndpointsOptions): Partial<EndpointLists> {
  const onHosts = (one: string | undefined) =>
    one === undefined
      ? undefined
      : options.host?.map((host) => {
          const { port } = parseEndpoint(one);
          const given = parseEndpoint(parseAddress(host, port));
          if (given.port === port) return formatEndpoint(given);
          throw new CliError(
            'USAGE',
            '--host takes no port. Name the listener: --node, --quic or --pairing.',
          );
        });
  const named = (list: readonly string[] | undefined, port: number) =>
    list?.map((each) => parseAddress(each, port));
  const lists = {
    pairing: named(options.pairing, pairingPort) ?? onHosts(pairingEndpoints(known)[0]),
    node: named(options.node, nodePort) ?? onHosts(nodeEndpoints(known)[0]),
    quic: named(options.quic, nodePort) ?? onHosts(quicEndpoints(known)[0]),
    web: options.web?.map(parseChannelUrl),
  };
  const given = Object.entries(lists).filter(([, list]) => list !== undefined);
  if (given.some(([, list]) => list!.length > MAX_ENDPOINTS))
    throw new IdentityError('MESSAGE_INVALID', `A listener has at most ${MAX_ENDPOINTS} endpoints.`);
  return Object.fromEntries(given) as Partial<EndpointLists>;
}

function show(cli: Cli, enrollment: PairedEnrollment): void {
  const lists = {
    node: nodeEndpoints(enrollment),
    quic: quicEndpoints(enrollment),
    web: webEndpoints(enrollment),
    pairing: pairingEndpoints(enrollment),
  };
  const { byHand = {}, root, daemonId } = enrollment;
  const setByHand = (Object.keys(lists) as (keyof typeof lists)[]).filter((kind) => byHand[kind]);
  cli.output.answer({ daemon_id: daemonId, root_fingerprint: root, ...lists, by_hand: setByHand }, () =>
    [
      `This device looks for the daemon ${daemonId} at these addresses, in order:`,
      '',
      fields(
        Object.entries(lists).map(([kind, list]) => [
          kind,
          `${list.length > 0 ? list.join(', ') : 'nowhere: the daemon has no such listener'}${setByHand.some((each) => each === kind) ? ' (set by hand)' : ''}`,
        ]),
      ),
      ...(setByHand.length > 0
        ? [
            '',
            `To use the addresses that the daemon announces again: ${followUp(cli, 'node endpoints --reset')}`,
          ]
        : []),
    ].join('\n'),
  );
}
