// `palyra node run`: the agent. It keeps the device connected, renews its certificate, and runs what the daemon asks for.

import { spawn } from 'node:child_process';
import {
  type AgentState,
  builtInCapabilities,
  type Capabilities,
  folderCapabilities,
  runAgent,
  writeCredentialFiles,
} from '@palyra/agent';
import type { IdentityError, PairedEnrollment } from '@palyra/identity';
import { dialPairing } from '@palyra/rpc';
import { type Command, Option } from 'commander';
import { type Cli, stayUp } from '../cli.ts';
import { dialBy, type Transport, withDevice } from '../device-connection.ts';
import { pairedEnrollment } from '../device-store.ts';
import { withExamples } from '../help.ts';
import { printable } from '../printable.ts';
import { formatSpan } from '../time.ts';

interface RunOptions {
  readonly daemon?: string;
  readonly transport: Transport;
  readonly capabilities?: string;
  readonly out?: string;
  readonly onRenew?: string;
}

/** How long a hook may run, ms. */
const hookTimeoutMs = 60_000;

export function addNodeRun(node: Command, cli: () => Cli): void {
  withExamples(
    node
      .command('run')
      .description('Stay connected: renew the certificate, and run what the daemon asks for. Ctrl-C ends it.')
      .option(
        '--daemon <daemon>',
        'which daemon, when this device is paired with several: its id, or the SHA-256 of its root',
      )
      .addOption(
        new Option('--transport <which>', 'auto: QUIC, or HTTP/2 where UDP is blocked')
          .choices(['auto', 'quic', 'http2'])
          .default('auto'),
      )
      .option('--capabilities <folder>', 'also offer each executable in it: JSON on stdin, JSON on stdout')
      .option('--out <folder>', 'keep cert.pem, key.pem, chain.pem and bundle.pem current there')
      .option('--on-renew <command>', 'run this in a shell after the files have changed')
      .action((options: RunOptions) => run(cli(), options)),
    'palyra node run',
    'palyra node run --out /etc/nginx/palyra --on-renew "systemctl reload nginx"',
  );
}

async function run(cli: Cli, options: RunOptions): Promise<void> {
  stayUp(cli);
  const enrollment = await pairedEnrollment(cli, options.daemon);
  const capabilities = await offered(cli, options);
  if (options.out) await writeCredentialFiles(options.out, enrollment);
  // One after the other: the files and the command of a renewal belong together.
  let adopted = Promise.resolve();
  await withDevice(cli.home, (device) =>
    runAgent({
      device,
      enrollment,
      capabilities,
      dial: dialBy(options.transport),
      dialRecovery: (known) => dialPairing(known.address, known),
      platform: cli.invocation.platform,
      signal: cli.invocation.interrupted,
      onState: (state) => {
        tell(cli, state);
        if (state.state === 'renewed') adopted = adopted.then(() => adopt(cli, options, state.enrollment));
      },
      onCall: (capability, outcome) =>
        cli.output.answer(
          { event: 'call', capability, outcome },
          () => `Ran ${printable(capability)}: ${printable(outcome)}.`,
        ),
    }),
  );
}

async function offered(cli: Cli, { capabilities: folder }: RunOptions): Promise<Capabilities> {
  if (!folder) return builtInCapabilities;
  const own = await folderCapabilities(folder, cli.invocation.environment);
  return new Map([...builtInCapabilities, ...own]);
}

function tell(cli: Cli, state: AgentState): void {
  switch (state.state) {
    case 'connecting':
      return;
    case 'connected': {
      const over = state.transport === 'quic' ? 'QUIC' : 'HTTP/2';
      const why = state.quicProblem ? ` (not QUIC: ${state.quicProblem})` : '';
      cli.output.answer(
        { event: 'connected', transport: state.transport, quic_problem: state.quicProblem ?? '' },
        () => `Connected over ${over}, mutual TLS.${why}`,
      );
      return;
    }
    case 'disconnected':
      cli.output.answer(
        { event: 'disconnected', ...errorJson(state.error), retry_in_ms: state.retryInMs },
        () =>
          `Not connected: ${printable(state.error.message)} Trying again in ${formatSpan(state.retryInMs)}.`,
      );
      return;
    case 'renewed':
      cli.output.answer({ event: 'renewed', how: state.how }, () =>
        state.how === 'renewal'
          ? 'The certificate was renewed.'
          : 'The certificate was recovered by the identity key.',
      );
      return;
    case 'renewal_failed':
      cli.output.answer(
        { event: 'renewal_failed', ...errorJson(state.error), retry_in_ms: state.retryInMs },
        () =>
          `The renewal failed: ${printable(state.error.message)} Trying again in ${formatSpan(state.retryInMs)}.`,
      );
  }
}

/** What fails here is told and leaves the agent running: the certificate itself is safe in the store. */
async function adopt(cli: Cli, { out, onRenew }: RunOptions, enrollment: PairedEnrollment): Promise<void> {
  try {
    if (out) await writeCredentialFiles(out, enrollment);
    if (onRenew) await runHook(onRenew, cli.invocation.environment);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    cli.output.answer(
      { event: 'hook_failed', message },
      () => `The files or the command after the renewal failed: ${message}`,
    );
  }
}

function runHook(command: string, env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, { shell: true, stdio: 'inherit', env, timeout: hookTimeoutMs });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`"${command}" ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}

function errorJson(error: IdentityError): { code: string; message: string } {
  return { code: error.code, message: error.message };
}
