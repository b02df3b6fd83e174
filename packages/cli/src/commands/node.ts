// `palyra node`: the commands of a paired device, over mutual TLS.

import { ConnectError, createClient } from '@connectrpc/connect';
import { nodeEndpoints } from '@palyra/identity/device';
import { dialNode, fromConnectError, NodeService } from '@palyra/rpc';
import type { Command } from 'commander';
import { nodePort, parseAddress } from '../address.ts';
import type { Cli } from '../cli.ts';
import { reachDaemon } from '../device-connection.ts';
import { daemonOption, pairedEnrollment } from '../device-store.ts';
import { withExamples } from '../help.ts';
import { untilInterrupted } from '../interruption.ts';
import { fields } from '../table.ts';
import { formatSpan, formatTime, isoTime } from '../time.ts';
import { addNodeEndpoints } from './node-endpoints.ts';
import { addNodeExec } from './node-exec.ts';
import { addNodeForget } from './node-forget.ts';
import { addNodeInstall } from './node-install.ts';
import { addNodeKeychain } from './node-keychain.ts';
import { addNodeRun } from './node-run.ts';
import { addNodeUse } from './node-use.ts';

interface StatusOptions {
  readonly address?: string;
  readonly daemon?: string;
}

export function addNode(program: Command, cli: () => Cli): void {
  const node = program.command('node').description('Commands of this paired device, over mutual TLS.');
  withExamples(node, 'palyra node status', 'palyra node run');
  addNodeRun(node, cli);
  addNodeInstall(node, cli);
  addNodeExec(node, cli);
  addNodeEndpoints(node, cli);
  addNodeUse(node, cli);
  addNodeForget(node, cli);
  addNodeKeychain(node, cli);
  withExamples(
    node
      .command('status')
      .description('Call the daemon over mutual TLS, and show how the daemon identifies this device.')
      .option('--address <address>', "the daemon's node listener (default: palyra node endpoints)")
      .option('--daemon <daemon>', daemonOption)
      .action((options: StatusOptions) => status(cli(), options)),
    'palyra node status',
    'palyra node status --address 192.168.1.5:7444 --json',
  );
}

async function status(cli: Cli, options: StatusOptions): Promise<void> {
  const enrollment = await pairedEnrollment(cli, options.daemon);
  const given = options.address === undefined ? undefined : parseAddress(options.address, nodePort);
  const { interrupted } = cli.invocation;
  const stopProgress = cli.output.progress(
    () => `Calling the daemon at ${given ?? nodeEndpoints(enrollment).join(', ')}`,
  );
  let connection: Awaited<ReturnType<typeof reachDaemon>> | undefined;
  try {
    const dialling = given === undefined ? reachDaemon(enrollment) : dialNode(given, enrollment);
    connection = await untilInterrupted(interrupted, dialling);
    const { address } = connection;
    const reply = await untilInterrupted(
      interrupted,
      createClient(NodeService, connection.transport).status({}),
    );
    const now = cli.now();
    cli.output.answer(
      {
        device_id: reply.deviceId,
        device_name: reply.deviceName,
        daemon_id: reply.daemonId,
        trust_domain: reply.trustDomain,
        root_fingerprint: enrollment.root,
        address,
        serial: reply.serial,
        certificate_not_after: isoTime(reply.certificateNotAfterMs),
        daemon_time: isoTime(reply.daemonTimeMs),
      },
      () =>
        [
          `The daemon at ${address} knows this device. The call went over mutual TLS.`,
          '',
          fields([
            ['device', `${reply.deviceName} (${reply.deviceId})`],
            ['daemon', reply.daemonId],
            ['trust domain', reply.trustDomain],
            ['certificate', `serial ${reply.serial}`],
            [
              'valid until',
              `${formatTime(reply.certificateNotAfterMs, now)} (${formatSpan(Number(reply.certificateNotAfterMs) - now)})`,
            ],
          ]),
        ].join('\n'),
    );
  } catch (error) {
    throw error instanceof ConnectError ? fromConnectError(error) : error;
  } finally {
    stopProgress();
    connection?.close();
  }
}
