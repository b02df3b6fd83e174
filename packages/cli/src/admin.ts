// The operator's line to the daemon: its admin socket in this home.

import { type Client, ConnectError, createClient } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { AdminService, dialAdmin, fromConnectError, type Http2Connection } from '@palyra/rpc';
import { type Cli, followUp } from './cli.ts';
import { untilInterrupted } from './interruption.ts';

export type Admin = Client<typeof AdminService>;
export type Pairing = Awaited<ReturnType<Admin['getPairing']>>;
export type Device = Awaited<ReturnType<Admin['renameDevice']>>;
export type Certificate = Awaited<ReturnType<Admin['revokeCertificate']>>;

/** @throws UNREACHABLE, what the daemon answers, and the interruption. */
export async function withAdmin<T>(
  cli: Cli,
  work: (admin: Admin) => Promise<T>,
  { progress = true }: { readonly progress?: boolean } = {},
): Promise<T> {
  const { interrupted } = cli.invocation;
  const stopProgress = progress ? cli.output.progress(() => 'Waiting for the daemon') : () => {};
  let connection: Http2Connection | undefined;
  try {
    connection = await untilInterrupted(interrupted, dial(cli));
    return await untilInterrupted(interrupted, work(createClient(AdminService, connection.transport)));
  } catch (error) {
    throw error instanceof ConnectError ? answerOf(error) : error;
  } finally {
    stopProgress();
    connection?.close();
  }
}

async function dial(cli: Cli): Promise<Http2Connection> {
  try {
    return await dialAdmin(cli.home.adminSocket);
  } catch (error) {
    const reason = error instanceof IdentityError && (error.cause as NodeJS.ErrnoException | undefined)?.code;
    if (reason !== 'ENOENT' && reason !== 'ECONNREFUSED') throw error;
    throw new IdentityError(
      'UNREACHABLE',
      `No daemon runs in the home ${cli.home.path}. Start it: ${followUp(cli, 'daemon')}`,
      { cause: error },
    );
  }
}

function answerOf(error: ConnectError): IdentityError {
  const answer = fromConnectError(error);
  if (answer.code !== 'UNREACHABLE') return answer;
  return new IdentityError('UNREACHABLE', 'The daemon stopped before it had answered. See: palyra status', {
    cause: error,
  });
}
