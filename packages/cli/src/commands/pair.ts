// `palyra pair`: the device's side of pairing, from the code to the pinned mTLS identity.

import { X509Certificate } from 'node:crypto';
import { hasCode, IdentityError, type SecretStore } from '@palyra/identity';
import {
  awaitPairing,
  DeviceIdentity,
  type Enrollment,
  loadEnrollments,
  makesSameClaims,
  type PairedEnrollment,
  type PendingEnrollment,
  requestPairing,
} from '@palyra/identity/device';
import { type PairingCode, parseDeviceName } from '@palyra/identity/pairing';
import type { DeviceKind } from '@palyra/identity/registry';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { dialPairing, type PairingConnection, pairingPeer } from '@palyra/rpc';
import { dialPairingWeb } from '@palyra/transport-websocket';
import { type Command, Option } from 'commander';
import { type PairingAddress, parsePairingAddress } from '../address.ts';
import { type Cli, followUp } from '../cli.ts';
import { type CodeOptions, hasCodeSource, readCode, refuseCodes } from '../code-source.ts';
import { webDialOptions } from '../device-connection.ts';
import { openDeviceStore } from '../device-store.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { pause, untilInterrupted } from '../interruption.ts';
import { chooseOnLan } from '../lan-choice.ts';
import { box } from '../table.ts';
import { formatSpan, formatTime, parseSpan } from '../time.ts';

interface PairOptions extends CodeOptions {
  readonly kind: DeviceKind;
  readonly name?: string;
  readonly newIdentity?: boolean;
  readonly newRequest?: boolean;
  readonly timeout: number;
}

const firstRetryMs = 500;
const maxRetryMs = 10_000;

export function addPair(program: Command, cli: () => Cli): void {
  const command = program
    .command('pair')
    .summary('Pair this device with a daemon.')
    .argument(
      '[address]',
      "the daemon's pairing listener, as host or host:port (default port 7443), or its channel, as wss://host/path. A QR code contains the address. Without an address, the daemons on this network are listed",
    )
    .description(
      'Pair this device with a daemon.\n\nAsks for the code that the daemon shows, then waits for the approval of the operator. If interrupted, run the same command again to resume the request without a code.',
    )
    .option('--code-stdin', 'read the code from stdin: nine digits, or a palyra: URI')
    .option('--qr <file>', 'read the palyra: URI of a QR code from a file; - is stdin')
    .addOption(
      new Option('--kind <kind>', 'the kind of this device')
        .choices(['cli', 'desktop', 'browser', 'node'])
        .default('cli'),
    )
    .option('--name <name>', 'the name that the operator sees (default: the host name)')
    .option('--new-identity', 'pair as a new device; required after a revocation')
    .option('--new-request', 'abandon a waiting request, and start again with a code')
    .addOption(
      new Option('--timeout <time>', 'how long to wait for the operator: 90s, 10m, 2h')
        .argParser(parseSpan)
        .default(3_600_000, '1h'),
    )
    .allowExcessArguments()
    .action((address: string | undefined, options: PairOptions) =>
      pair(cli(), address, options, command.args),
    );
  withExamples(
    command,
    'palyra pair',
    'palyra pair 192.168.1.5',
    'palyra pair 192.168.1.5:7443 --kind node --name "kitchen sensor"',
    'palyra pair wss://home.example/channel',
    'palyra pair --qr uri.txt',
    'palyra pair 192.168.1.5 --code-stdin --json < code.txt',
  );
}

async function pair(cli: Cli, given: string | undefined, options: PairOptions, words: readonly string[]) {
  refuseCodes([...words, options.qr]);
  if (words.length > 1) throw new CliError('USAGE', 'Give one address.');
  const address = given === undefined ? undefined : parsePairingAddress(given);
  const name = options.name === undefined ? hostDeviceName(cli) : parseDeviceName(options.name);
  const secrets = await openDeviceStore(cli.home);
  try {
    const present = await loadEnrollments(secrets);
    const before = options.newRequest || options.newIdentity ? undefined : pendingAt(cli, present, address);
    const paired = (before && (await resume(cli, secrets, before, options))) ?? (await startAnew());

    const known = (await loadEnrollments(secrets)).filter(({ root }) => root !== paired.root);
    const others = known.filter((each) => makesSameClaims(each, paired));
    const named = known.some(({ daemonId }) => daemonId === paired.daemonId) ? paired.root : paired.daemonId;
    const notAfter = new X509Certificate(paired.certificateChain[0]!).validToDate.getTime();
    const identity = await DeviceIdentity.load(secrets, nodeCrypto);
    cli.output.answer(
      {
        event: 'paired',
        device_id: identity.id,
        daemon_id: paired.daemonId,
        trust_domain: paired.trustDomain,
        root_fingerprint: paired.root,
        node_address: paired.nodeAddress,
        certificate_not_after: new Date(notAfter).toISOString(),
      },
      () =>
        [
          `Paired with ${paired.trustDomain}. This device is ${identity.id}.`,
          `Its certificate is valid until ${formatTime(notAfter, cli.now())}.`,
          `Try it: ${followUp(cli, known.length === 0 ? 'node status' : `node status --daemon ${named}`)}`,
          ...(known.some(({ state }) => state === 'paired')
            ? [`To make this daemon the default: ${followUp(cli, `node use ${named}`)}`]
            : []),
          ...others.map(
            ({ root, state, address }) =>
              `This device is still ${state} with another daemon that has this id, trust domain or address: root ${root}, at ${address}. If that root is from before a rotation of this daemon, or the other daemon is gone for good: ${followUp(cli, `node forget ${root}`)}`,
          ),
        ].join('\n'),
    );

    async function startAnew(): Promise<PairedEnrollment> {
      const { code, at } = await findCode(cli, address, options);
      const connection = await dial(cli, at);
      const { kind, newIdentity } = options;
      const pending = await request(cli, { connection, secrets, code, at, kind, name, newIdentity });
      return waitForOperator(cli, secrets, pending, options.timeout, connection);
    }
  } finally {
    await secrets.close();
  }
}

/**
 * The request that already waits at this address, or the only waiting one when no address was given.
 * @throws USAGE when requests to several daemons wait at one address: a device must not choose among them.
 */
function pendingAt(
  cli: Cli,
  known: readonly Enrollment[],
  address: PairingAddress | undefined,
): PendingEnrollment | undefined {
  const pending = known.filter((each) => each.state === 'pending');
  if (address === undefined) return pending.length === 1 ? pending[0] : undefined;
  const [only, ...others] = pending.filter(
    (each) => each.address === address.host && each.webAddress === address.web,
  );
  if (others.length === 0) return only;
  const roots = [only!, ...others]
    .map(({ root, words }) => `root ${root} with the words "${words}"`)
    .join(', ');
  throw new CliError(
    'USAGE',
    `Requests to several daemons wait at ${address.web ?? address.host}: ${roots}. Forget every daemon except the one whose words the operator sees (${followUp(cli, 'node forget ROOT')}), or start again with --new-request.`,
  );
}

/** Undefined when the request is over and a new one can be made instead. */
async function resume(cli: Cli, secrets: SecretStore, pending: PendingEnrollment, options: PairOptions) {
  cli.output.note(`Resuming the earlier request at ${pending.webAddress ?? pending.address}.`);
  try {
    return await waitForOperator(cli, secrets, pending, options.timeout);
  } catch (error) {
    const over = hasCode(error, 'PAIRING_EXPIRED') || hasCode(error, 'PAIRING_NOT_FOUND');
    if (!over || !hasCodeSource(cli, options)) throw error;
    cli.output.note('That request has ended. Starting a new one.');
    return undefined;
  }
}

async function findCode(
  cli: Cli,
  address: PairingAddress | undefined,
  options: PairOptions,
): Promise<{ code: PairingCode; at: PairingAddress }> {
  const isTyped = !options.codeStdin && options.qr === undefined;
  const known = address ?? (isTyped ? onHost(await chooseOnLan(cli)) : undefined);
  // Report a wrong address before the person types a code.
  if (known !== undefined && isTyped) (await dial(cli, known)).close();
  const code = await readCode(cli, options);
  const at = known ?? onHost(code.address);
  if (at === undefined) throw new CliError('USAGE', 'A typed code also needs the address of the daemon.');
  return { code, at };
}

const onHost = (host: string | undefined): PairingAddress | undefined =>
  host === undefined ? undefined : { host };

async function dial(cli: Cli, at: PairingAddress): Promise<PairingConnection> {
  const stopProgress = cli.output.progress(() => `Looking for the daemon at ${at.web ?? at.host}`);
  try {
    return await untilInterrupted(cli.invocation.interrupted, dialAt(cli, at));
  } finally {
    stopProgress();
  }
}

function dialAt(
  cli: Cli,
  { host, web }: PairingAddress,
  known?: PendingEnrollment,
): Promise<PairingConnection> {
  return web === undefined ? dialPairing(host, known) : dialPairingWeb(web, known, webDialOptions(cli));
}

async function request(
  cli: Cli,
  pairing: {
    readonly connection: PairingConnection;
    readonly secrets: SecretStore;
    readonly code: PairingCode;
    readonly at: PairingAddress;
    readonly kind: DeviceKind;
    readonly name: string;
    readonly newIdentity: boolean | undefined;
  },
): Promise<PendingEnrollment> {
  const { connection, secrets, code, at, kind, name, newIdentity } = pairing;
  const { invocation } = cli;
  const identity = newIdentity ? await newDeviceIdentity() : await ownIdentity(secrets);
  const device = { identity, secrets, crypto: nodeCrypto, clock: systemClock, kind, name };
  const peer = pairingPeer(connection);
  const stopProgress = cli.output.progress(() => 'Pairing');
  try {
    return await untilInterrupted(
      invocation.interrupted,
      requestPairing(
        { ...device, platform: invocation.platform },
        {
          ...peer,
          // The identity is stored after the daemon has accepted a request under it, and before the request is stored.
          async confirm(confirmation) {
            const confirmed = await peer.confirm(confirmation);
            await identity.store(secrets);
            return confirmed;
          },
        },
        code,
        at.host,
        at.web,
      ),
    );
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    stopProgress();
  }
}

async function ownIdentity(secrets: SecretStore): Promise<DeviceIdentity> {
  try {
    return await DeviceIdentity.load(secrets, nodeCrypto);
  } catch (error) {
    if (!hasCode(error, 'SECRET_NOT_FOUND')) throw error;
    return newDeviceIdentity();
  }
}

function newDeviceIdentity(): Promise<DeviceIdentity> {
  return DeviceIdentity.create(nodeCrypto, systemClock);
}

/**
 * Shows the words and waits for the decision, reconnecting as often as needed.
 * @throws PAIRING_REJECTED, PAIRING_EXPIRED, PAIRING_NOT_FOUND, TIMED_OUT, UNREACHABLE, INTERRUPTED
 */
async function waitForOperator(
  cli: Cli,
  secrets: SecretStore,
  pending: PendingEnrollment,
  timeoutMs: number,
  first?: PairingConnection,
): Promise<PairedEnrollment> {
  const { output } = cli;
  showWords(cli, pending);
  const identity = await DeviceIdentity.load(secrets, nodeCrypto);
  const device = { identity, secrets, crypto: nodeCrypto, clock: systemClock };
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([cli.invocation.interrupted, timeout]);
  let connection = first;
  let unreachable: IdentityError | undefined;
  const stopProgress = output.progress(() => `Waiting for the ${unreachable ? 'daemon' : 'operator'}`);
  try {
    for (let retryMs = firstRetryMs; ; retryMs = Math.min(retryMs * 2, maxRetryMs)) {
      try {
        connection ??= await untilInterrupted(signal, dialAt(cli, addressOf(pending), pending));
        if (unreachable) output.note('The daemon is answering again.');
        unreachable = undefined;
        const waiting = awaitPairing(device, pairingPeer(connection), pending, { signal });
        return await untilInterrupted(signal, waiting);
      } catch (error) {
        if (cli.invocation.interrupted.aborted) throw interruptedWhileWaiting(cli, pending);
        if (timeout.aborted) throw timedOut(cli, pending, timeoutMs, unreachable);
        if (!hasCode(error, 'UNREACHABLE')) throw error;
        if (!unreachable) output.note('The daemon does not answer. The request is kept. Retrying.');
        unreachable = error;
      } finally {
        connection?.close();
        connection = undefined;
      }
      await pause(retryMs, signal);
    }
  } finally {
    stopProgress();
  }
}

const addressOf = ({ address, webAddress }: PendingEnrollment): PairingAddress => ({
  host: address,
  ...(webAddress !== undefined && { web: webAddress }),
});

function showWords(cli: Cli, pending: PendingEnrollment): void {
  cli.output.answer(
    {
      event: 'words',
      words: pending.words,
      request_id: pending.requestId,
      daemon_id: pending.daemonId,
      trust_domain: pending.trustDomain,
    },
    () =>
      [
        '',
        `The daemon of ${pending.trustDomain} received the request.`,
        'Its operator must see these words:',
        '',
        cli.output.paint('bold', box(pending.words)),
        '',
        'To approve the request, the operator runs: palyra pairing approve',
      ].join('\n'),
  );
}

function interruptedWhileWaiting(cli: Cli, pending: PendingEnrollment): CliError {
  const { code } = cli.invocation.interrupted.reason as CliError;
  return new CliError(code, `Interrupted. The request is kept. To resume it: ${again(cli, pending)}`);
}

function timedOut(
  cli: Cli,
  pending: PendingEnrollment,
  timeoutMs: number,
  unreachable: IdentityError | undefined,
): Error {
  const kept = `The request is kept. To resume it: ${again(cli, pending)}`;
  return unreachable
    ? new IdentityError(
        'UNREACHABLE',
        `The daemon at ${pending.webAddress ?? pending.address} stopped answering. ${kept}`,
        {
          cause: unreachable,
        },
      )
    : new CliError('TIMED_OUT', `No decision after ${formatSpan(timeoutMs)}. ${kept}`);
}

function again(cli: Cli, { address, webAddress }: PendingEnrollment): string {
  return followUp(cli, `pair ${webAddress ?? address}`);
}

/** The host name, or a placeholder if the host name is not a valid device name. */
function hostDeviceName({ invocation }: Cli): string {
  try {
    return parseDeviceName(invocation.hostName);
  } catch (error) {
    if (error instanceof IdentityError) return 'unnamed device';
    throw error;
  }
}
