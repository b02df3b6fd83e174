// `palyra daemon`: runs the daemon in this terminal and shows how to pair the first device.

import type { LogLevel, RunningDaemon } from '@palyra/daemon';
import { IdentityError } from '@palyra/identity';
import type { CloneSign, Device, RegistryEvent } from '@palyra/identity/registry';
import { formatEndpoint, parseEndpoint } from '@palyra/identity/values';
import { type Command, Option } from 'commander';
import { type Cli, followUp, stayUp } from '../cli.ts';
import { withExamples } from '../help.ts';
import { jsonLog } from '../json-log.ts';
import { explained } from '../next-step.ts';
import { type PairingChange, pairingChangeLine } from '../pairing-view.ts';
import { printable } from '../printable.ts';
import { qrCode } from '../qr.ts';
import { collectStartGarbage } from '../start-garbage.ts';
import { supervisorOf } from '../supervisor.ts';
import { box, fields } from '../table.ts';
import { formatClock, formatSpan, formatTime, isoTime } from '../time.ts';
import { configFile, report } from './backup.ts';
import { addDaemonInstall } from './daemon-install.ts';

interface DaemonOptions {
  readonly config?: string;
  readonly code: boolean;
  readonly check?: boolean;
  readonly log?: LogLevel;
}

type PairingEvent = Extract<RegistryEvent, { type: 'pairing_changed' }>['pairing'];

export function addDaemon(program: Command, cli: () => Cli): void {
  const command = program.command('daemon');
  withExamples(
    command
      .summary('Run the daemon in this terminal.')
      .description(
        'Run the daemon in this terminal until Ctrl-C. The first start creates its keys and certificates.\n\nShows a new pairing code and a QR code. Under a service manager use --no-code, or the code ends up in a log.',
      )
      .option(
        '--config <file>',
        'the configuration (default: the one used at the last start; at the first start, daemon/config.json in the home)',
      )
      .option('--check', 'report every problem that would prevent a start, without starting')
      .option('--no-code', 'do not make a pairing code')
      .addOption(
        new Option(
          '--log <level>',
          'write a log to stderr, as JSON lines from this level on, instead of text (default: log.level of the configuration)',
        ).choices(['debug', 'info', 'warn', 'error'] satisfies LogLevel[]),
      )
      .action((options: DaemonOptions) => daemon(cli(), options)),
    'palyra daemon',
    'palyra daemon --home /var/lib/palyra --no-code --json',
    'palyra daemon --check --config /etc/palyra/config.json',
  );
  addDaemonInstall(command, cli);
}

async function daemon(cli: Cli, options: DaemonOptions): Promise<void> {
  const { output, invocation } = cli;
  if (options.check) return report(cli, { ...configFile(options), beforeStart: true });
  stayUp(cli);
  // Loaded here so that the other commands start without it.
  const { startDaemon } = await import('@palyra/daemon');
  // Events are printed in the order they happen, although some need a lookup first.
  let printed: Promise<void> = Promise.resolve();
  const then = (print: () => void | Promise<void>) => {
    printed = printed.then(print).catch((error) => output.note(`note: ${printable(String(error))}`));
  };
  const running = await startDaemon({
    log: { level: options.log, write: jsonLog(output) },
    home: cli.home.path,
    ...configFile(options),
    onEvent: (event) => then(() => (isText(running) ? show(cli, running, event) : undefined)),
    onError: (error, where) => output.note(`error in ${where}: ${printable(String(error))}`),
  });
  const isText = ({ logLevel }: RunningDaemon) => output.json || logLevel === undefined;
  then(() => (isText(running) ? showReady(cli, running, options) : undefined));
  const supervisor = supervisorOf(invocation, (problem) => output.note(`note: ${printable(problem)}`));
  supervisor.ready(`Serving ${running.trustDomain}`);
  collectStartGarbage();
  await new Promise<void>((resolve) => {
    if (invocation.interrupted.aborted) resolve();
    invocation.interrupted.addEventListener('abort', () => resolve());
  });
  const stopProgress = output.progress(
    () => 'Stopping; press Ctrl-C again to cut off the calls still running',
  );
  supervisor.stopping('Stopping: waiting for running calls');
  const cut = new AbortController();
  invocation.onInsistence(() => cut.abort());
  await running.close(cut.signal);
  await printed;
  await supervisor.told;
  stopProgress();
  if (isText(running)) output.answer({ event: 'stopped' }, () => 'Stopped.');
}

async function showReady(cli: Cli, running: RunningDaemon, { code }: DaemonOptions): Promise<void> {
  const { output } = cli;
  output.answer(
    {
      event: 'ready',
      daemon_id: running.daemonId,
      trust_domain: running.trustDomain,
      root_fingerprint: running.rootFingerprint,
      listeners: running.listeners,
      pairing_address: running.pairingAddress,
      notes: running.notes,
      home: cli.home.path,
    },
    () => `${output.paint('bold', 'The Palyra daemon is running.')} Ctrl-C stops it.\n\n${about(running)}`,
  );
  for (const note of running.notes) output.note(`note: ${note}`);
  if (!code || output.json) return;
  try {
    const { desk } = running.identity;
    const typed = await desk.mint({ kind: 'typed', address: running.pairingAddress });
    const qr = await desk.mint({ kind: 'qr', address: running.pairingAddress });
    output.answer(undefined, () =>
      invitation(cli, running, { typed: typed.code, uri: qr.code, expiresAt: typed.expiresAt }),
    );
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    // Reaching the limit of codes must not keep the daemon from running.
    output.note(`No pairing code was made: ${explained(cli, error)}`);
  }
}

function about(running: RunningDaemon): string {
  const purposes: Readonly<Record<string, string>> = {
    pairing: 'for devices with a code',
    node: 'for paired devices, mutual TLS',
    quic: 'for paired devices, mutual TLS',
    console: 'for a browser here: palyra console',
    admin: 'for you, on this machine',
  };
  return fields([
    ['trust domain', running.trustDomain],
    ['root SHA-256', running.rootFingerprint],
    ...running.listeners.map(
      ({ name, address }) => [name, `${address.padEnd(14)}   ${purposes[name] ?? ''}`.trimEnd()] as const,
    ),
  ]);
}

function invitation(
  cli: Cli,
  running: RunningDaemon,
  { typed, uri, expiresAt }: { readonly typed: string; readonly uri: string; readonly expiresAt: Date },
): string {
  const { output } = cli;
  const now = cli.now();
  const until = `${formatTime(expiresAt.getTime(), now)} (${formatSpan(expiresAt.getTime() - now)})`;
  const picture = qrCode(uri, output);
  const here = localAddress(running);
  const elsewhere =
    here === running.pairingAddress
      ? []
      : [`(From another machine, the address is ${running.pairingAddress}.)`];
  return [
    '',
    picture === undefined
      ? `This terminal cannot show a QR code. On a wider one: ${followUp(cli, 'pairing code --qr')}`
      : picture,
    '',
    `For a program that reads QR codes. On the device itself, type this code. Valid until ${until}.`,
    '',
    output.paint('bold', box(typed)),
    '',
    'Pair a device, from a second terminal:',
    `  ${followUp(cli, `pair ${here}`)}`,
    'See the requests and approve them:',
    `  ${followUp(cli, 'pairing list')}`,
    `  ${followUp(cli, 'pairing approve')}`,
    ...elsewhere,
    '',
  ].join('\n');
}

/** The address at which a second terminal on this machine reaches the pairing listener. */
function localAddress({ listeners, pairingAddress }: RunningDaemon): string {
  const bound = listeners.find(({ name }) => name === 'pairing')?.address ?? pairingAddress;
  const { host, port } = parseEndpoint(bound);
  if (host !== '::' && host !== '0.0.0.0') return bound;
  // A machine whose shown address is IPv6 may have no IPv4 address.
  const isIpv6 = host === '::' && parseEndpoint(pairingAddress).host.includes(':');
  return formatEndpoint({ host: isIpv6 ? '::1' : '127.0.0.1', port });
}

async function show(cli: Cli, running: RunningDaemon, event: RegistryEvent): Promise<void> {
  const { output } = cli;
  const at = new Date(cli.now()).toISOString();
  if (event.type === 'pairing_changed') {
    const { pairing } = event;
    // A new code or a guess: the request or the end of the code follows, with more detail.
    if (pairing.state === 'waiting') return;
    const known = 'request' in pairing && pairing.request?.deviceId;
    const role = (known && (await running.identity.registry.device(known))?.role) || undefined;
    const change = changeOf(pairing, role);
    output.answer(changeJson(at, pairing, change), () => pairingChangeLine(cli, change));
    return;
  }
  if (event.type === 'authority_retired') {
    output.answer(
      { event: event.type, at, issuer_id: event.issuerId },
      () =>
        `${output.paint('dim', formatClock(cli.now()))}  An issuing authority is retired; connections that use its certificates are closed.`,
    );
    return;
  }
  if (event.type === 'authorities_changed' || event.type === 'changes_missed') {
    const what =
      event.type === 'changes_missed'
        ? 'This daemon was away for too long to know what has changed; all connections are closed.'
        : 'Another daemon has changed the authorities.';
    output.answer({ event: event.type, at }, () => `${output.paint('dim', formatClock(cli.now()))}  ${what}`);
    return;
  }
  const device = await running.identity.registry.device(event.deviceId);
  const name = device?.name ?? event.deviceId;
  const serial = 'serial' in event ? event.serial : null;
  const what = {
    device_revoked: 'is revoked; its connections are closed',
    device_quarantined: 'is quarantined; its connections are closed',
    recovery_asked:
      event.type === 'recovery_asked' && event.possibleCopy
        ? 'asks to recover, and MAY HAVE BEEN COPIED: releasing it also lets the copy in'
        : 'asks to recover; only you can allow that',
    clone_suspected: `may have been copied: ${event.type === 'clone_suspected' ? cloneSigns[event.sign] : ''}`,
    device_role_changed: device?.role === 'operator' ? 'is an OPERATOR now' : 'is no longer an operator',
    certificate_revoked: `lost its certificate ${serial}`,
    certificate_superseded: 'uses its new certificate',
    renewal_asked: 'is asked to renew its certificate',
  }[event.type];
  output.answer(
    { event: event.type, at, device_id: event.deviceId, name, serial },
    () => `${output.paint('dim', formatClock(cli.now()))}  ${printable(name)} ${what}.`,
  );
}

const cloneSigns: Readonly<Record<CloneSign, string>> = {
  replaced_certificate: 'a replaced certificate was used again',
  recovery: 'it recovered while its certificate was still valid',
  second_agent: 'a second agent connected while the first one was still answering',
};

const eventNames: Readonly<Record<PairingEvent['state'], string>> = {
  waiting: 'code',
  pending_approval: 'request',
  approved: 'approved',
  issued: 'issued',
  active: 'connected',
  rejected: 'rejected',
  expired: 'expired',
  exhausted: 'exhausted',
};

function changeOf(pairing: PairingEvent, role: Device['role'] | undefined): PairingChange {
  const request = 'request' in pairing ? pairing.request : undefined;
  return {
    id: pairing.id,
    state: pairing.state,
    slot: pairing.codeKind === 'typed' ? pairing.slot : '',
    guessesLeft: pairing.guessesLeft,
    failedGuesses: request?.failedGuesses ?? pairing.guessesTaken,
    reason: 'reason' in pairing ? pairing.reason : '',
    autoApprove: pairing.autoApprovedBy !== undefined,
    device: request && { ...request, role },
  };
}

function changeJson(at: string, pairing: PairingEvent, { device, failedGuesses, reason }: PairingChange) {
  return {
    event: eventNames[pairing.state],
    at,
    pairing_id: pairing.id,
    state: pairing.state,
    expires_at: 'expiresAt' in pairing ? isoTime(pairing.expiresAt.getTime()) : null,
    failed_guesses: failedGuesses,
    reason: reason || null,
    device: device
      ? {
          name: device.name,
          kind: device.kind,
          platform: device.platform,
          words: device.words,
          source: device.source,
          continuity: device.continuity,
          role: device.role ?? null,
        }
      : null,
  };
}
