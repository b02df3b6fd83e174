// `palyra renew`: a new certificate now, without an agent.

import { createClient } from '@connectrpc/connect';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { type PairedEnrollment, recoverCertificate, renewCertificate } from '@palyra/identity/device';
import { fromConnectError, type NodeConnection, NodeService, reachPairing, recoveryPeer } from '@palyra/rpc';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { dialBy, withDevice } from '../device-connection.ts';
import { daemonOption, pairedEnrollment } from '../device-store.ts';
import { withExamples } from '../help.ts';
import { untilInterrupted } from '../interruption.ts';
import { formatTime, isoTime } from '../time.ts';

export function addRenew(program: Command, cli: () => Cli): void {
  withExamples(
    program
      .command('renew')
      .description(
        'Get a new certificate for this device now. `palyra node run` renews by itself when needed.',
      )
      .option('--daemon <daemon>', daemonOption)
      .option(
        '--recover',
        'use only the identity key, after the certificate has expired. While the certificate is valid, this warns the operator of a possible copy',
      )
      .action((options: { daemon?: string; recover?: boolean }) => renew(cli(), options)),
    'palyra renew',
    'palyra renew --recover',
  );
}

async function renew(cli: Cli, options: { daemon?: string; recover?: boolean }): Promise<void> {
  const enrollment = await pairedEnrollment(cli, options.daemon);
  const stopProgress = cli.output.progress(() => 'Renewing');
  try {
    const work = options.recover ? recover(cli, enrollment) : renewAndUse(cli, enrollment);
    const renewed = await untilInterrupted(cli.invocation.interrupted, work);
    const { serial, notAfter } = readPeerCertificate(renewed.certificateChain[0]!);
    const until = BigInt(notAfter.getTime());
    cli.output.answer(
      { serial, certificate_not_after: isoTime(until) },
      () => `Renewed: serial ${serial}, valid until ${formatTime(until, cli.now())}.`,
    );
  } catch (error) {
    throw fromConnectError(error);
  } finally {
    stopProgress();
  }
}

async function renewAndUse(cli: Cli, enrollment: PairedEnrollment): Promise<PairedEnrollment> {
  const dial = dialBy('auto');
  const renewed = await withConnection(await dial(enrollment), ({ transport }) =>
    withDevice(cli.home, (device) =>
      renewCertificate(device, enrollment, (proof) => createClient(NodeService, transport).renew(proof)),
    ),
  );
  return use(renewed);
}

async function recover(cli: Cli, enrollment: PairedEnrollment): Promise<PairedEnrollment> {
  const connection = await reachPairing(enrollment);
  const recovered = await withConnection(connection, () =>
    withDevice(cli.home, (device) => recoverCertificate(device, enrollment, recoveryPeer(connection))),
  );
  return use(recovered);
}

/** The first call with the new certificate activates it and ends the old one. */
async function use(enrollment: PairedEnrollment): Promise<PairedEnrollment> {
  await twiceIfUnreachable(async () =>
    withConnection(await dialBy('auto')(enrollment), ({ transport }) =>
      createClient(NodeService, transport).status({}),
    ),
  );
  return enrollment;
}

/**
 * Over QUIC, the close for the last connection with the old certificate can meet the first one with the new certificate, because the
 * library may give both the same number (transport-quic, sealed.ts).
 */
export async function twiceIfUnreachable<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (fromConnectError(error).code !== 'UNREACHABLE') throw error;
    return ask();
  }
}

async function withConnection<C extends Pick<NodeConnection, 'close'>, T>(
  connection: C,
  work: (connection: C) => Promise<T>,
): Promise<T> {
  try {
    return await work(connection);
  } finally {
    connection.close();
  }
}
