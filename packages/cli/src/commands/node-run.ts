// `palyra node run`: the agent. It keeps the device connected, renews its certificate and runs capabilities for the
// daemon.

import {
  type AgentState,
  builtInCapabilities,
  type Capabilities,
  type CredentialFilesState,
  CredentialKeeper,
  folderCapabilities,
  RequestWatch,
  type RequestWatchOptions,
  runAgent,
} from '@palyra/agent';
import type { IdentityError } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import { reasonOf } from '@palyra/identity/values';
import { type Command, Option } from 'commander';
import { takeAgentLock } from '../agent-lock.ts';
import { type Cli, followUp, stayUp } from '../cli.ts';
import { DesktopNotices } from '../desktop-notice.ts';
import { dialBy, dialRecoveryBy, type Transport, webDialOptions, withDevice } from '../device-connection.ts';
import { daemonOption, pairedEnrollment } from '../device-store.ts';
import { transportNames } from '../device-view.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { explained, nextStepOf } from '../next-step.ts';
import { printable } from '../printable.ts';
import { collectStartGarbage } from '../start-garbage.ts';
import { formatSpan } from '../time.ts';

export interface RunOptions {
  readonly daemon?: string;
  readonly transport: Transport;
  readonly capabilities?: string;
  readonly out?: string;
  readonly onRenew?: string;
  readonly notify?: boolean;
}

export function addNodeRun(node: Command, cli: () => Cli): void {
  withExamples(
    addRunOptions(
      node
        .command('run')
        .description(
          'Run the agent: stay connected, renew the certificate, and run capabilities for the daemon. Ctrl-C stops it.',
        ),
    ).action((options: RunOptions) => run(cli(), options)),
    'palyra node run',
    'palyra node run --notify',
    'palyra node run --out /etc/nginx/palyra --on-renew "systemctl try-reload-or-restart nginx"',
  );
}

/** @returns the command, with the options of an agent, for a person or a unit. */
export function addRunOptions(command: Command): Command {
  return command
    .option('--daemon <daemon>', daemonOption)
    .addOption(
      new Option(
        '--transport <which>',
        'auto: QUIC, HTTP/2 where UDP is blocked, or WebSockets where neither gets through',
      )
        .choices(['auto', 'quic', 'http2', 'websocket'])
        .default('auto'),
    )
    .option(
      '--capabilities <folder>',
      'offer each executable in this folder as a capability: JSON on stdin, JSON on stdout. Other files are named and skipped',
    )
    .option('--out <folder>', 'keep cert.pem, key.pem, chain.pem and bundle.pem up to date in this folder')
    .option(
      '--on-renew <command>',
      'with --out: run this in a shell after each change of the files, and again until it succeeds',
    )
    .option(
      '--notify',
      'on a device with the operator role: a desktop notification for each device that asks to pair',
    );
}

/** @throws USAGE */
export function checkRunOptions({ onRenew, out }: RunOptions): void {
  if (onRenew && !out)
    throw new CliError(
      'USAGE',
      '--on-renew runs after the files of --out change. Name their folder: --out FOLDER',
    );
}

async function run(cli: Cli, options: RunOptions): Promise<void> {
  checkRunOptions(options);
  stayUp(cli);
  const enrollment = await pairedEnrollment(cli, options.daemon);
  const lock = await takeAgentLock(cli.home, enrollment);
  try {
    await runFor(cli, options, enrollment);
  } finally {
    lock.close();
  }
}

async function runFor(cli: Cli, options: RunOptions, enrollment: PairedEnrollment): Promise<void> {
  const capabilities = await offered(cli, options);
  const files = keptFiles(cli, options, enrollment);
  const notices = options.notify ? desktopNotices(cli) : undefined;
  collectStartGarbage();
  await withDevice(cli.home, (device) =>
    runAgent({
      device,
      enrollment,
      capabilities,
      dial: dialBy(options.transport, webDialOptions(cli)),
      dialRecovery: dialRecoveryBy(options.transport, webDialOptions(cli)),
      platform: cli.invocation.platform,
      signal: cli.invocation.interrupted,
      ...(notices && { beside: new RequestWatch(watched(cli, notices)) }),
      onState: (state) => {
        tell(cli, state);
        if (state.state === 'renewed') files?.take(state.enrollment);
      },
      onCall: (capability, outcome) =>
        cli.output.answer({ event: 'call', capability, outcome }, () => `Ran ${capability}: ${outcome}.`),
    }),
  ).finally(() => {
    files?.stop();
    notices?.close();
  });
}

function desktopNotices(cli: Cli): DesktopNotices {
  const { environment, desktop } = cli.invocation;
  return new DesktopNotices({
    environment: { ...environment, ...desktop },
    command: followUp(cli, '--remote pairing approve'),
    onProblem: (why) =>
      cli.output.answer({ event: 'notification_failed', message: why }, () => `No notification: ${why}.`),
  });
}

function watched(cli: Cli, notices: DesktopNotices): RequestWatchOptions {
  return {
    onRequest: (request) => {
      notices.take(request);
      const { id, device } = request;
      cli.output.answer(
        { event: 'request', id, name: device?.name ?? '' },
        () => `${device?.name ?? 'A device'} asks to pair (request ${id}).`,
      );
    },
    onRefused: (error) =>
      cli.output.answer(
        { event: 'requests_refused', ...errorJson(cli, error) },
        () => `No notifications: ${explained(cli, error)}`,
      ),
  };
}

function keptFiles(
  cli: Cli,
  { out, onRenew }: RunOptions,
  enrollment: PairedEnrollment,
): CredentialKeeper | undefined {
  if (!out) return undefined;
  return new CredentialKeeper(enrollment, {
    folder: out,
    command: onRenew,
    environment: cli.invocation.environment,
    onState: (state) => tellFiles(cli, out, state),
  });
}

const shownSkipped = 20;

async function offered(cli: Cli, { capabilities: folder }: RunOptions): Promise<Capabilities> {
  if (!folder) return builtInCapabilities;
  const skipped: string[] = [];
  const own = await folderCapabilities(folder, cli.invocation.environment, (file, why) =>
    skipped.push(`${printable(file)}: ${why}`),
  );
  for (const each of skipped.slice(0, shownSkipped)) cli.output.note(`Skipped as a capability: ${each}.`);
  if (skipped.length > shownSkipped) cli.output.note(`Skipped: ${skipped.length - shownSkipped} more files.`);
  return new Map([...builtInCapabilities, ...own]);
}

function tell(cli: Cli, state: AgentState): void {
  switch (state.state) {
    case 'connecting':
      return;
    case 'connected': {
      const over = transportNames[state.transport];
      const secured = state.transport === 'websocket' ? 'certificates on both sides' : 'mutual TLS';
      const why = state.quicProblem ? ` (not QUIC: ${state.quicProblem})` : '';
      cli.output.answer(
        { event: 'connected', transport: state.transport, quic_problem: state.quicProblem ?? '' },
        () => `Connected over ${over}, ${secured}.${why}`,
      );
      return;
    }
    case 'disconnected':
      cli.output.answer(
        { event: 'disconnected', ...errorJson(cli, state.error), retry_in_ms: state.retryInMs },
        () => `Not connected: ${explained(cli, state.error)}\n  Trying again ${soon(state.retryInMs)}.`,
      );
      return;
    case 'renewed':
      cli.output.answer({ event: 'renewed', how: state.how }, () =>
        state.how === 'renewal'
          ? 'The certificate was renewed.'
          : 'The certificate was recovered with the identity key.',
      );
      return;
    case 'renewal_failed':
      cli.output.answer(
        { event: 'renewal_failed', ...errorJson(cli, state.error), retry_in_ms: state.retryInMs },
        () => `The renewal failed: ${explained(cli, state.error)}\n  Trying again ${soon(state.retryInMs)}.`,
      );
  }
}

/** A failure here does not stop the agent: the certificate itself is safe in the store. */
function tellFiles(cli: Cli, folder: string, state: CredentialFilesState): void {
  switch (state.state) {
    case 'files_changed':
      cli.output.answer({ event: 'files_changed', folder }, () => `The files in ${folder} have changed.`);
      return;
    case 'hook_done':
      cli.output.answer({ event: 'hook_done' }, () => 'The --on-renew command succeeded.');
      return;
    case 'files_failed':
    case 'hook_failed': {
      const message = reasonOf(state.error);
      const what = state.state === 'files_failed' ? `The files in ${folder}` : 'The --on-renew command';
      cli.output.answer(
        { event: state.state, message, retry_in_ms: state.retryInMs },
        () => `${what} failed: ${message}\n  Retrying ${soon(state.retryInMs)}.`,
      );
    }
  }
}

function errorJson(cli: Cli, error: IdentityError) {
  const next = nextStepOf(cli, error);
  return { code: error.code, message: error.message, ...(next !== undefined && { next_step: next }) };
}

function soon(ms: number): string {
  return ms < 500 ? 'now' : `in ${formatSpan(ms)}`;
}
