// The operator's connection to the daemon: the admin socket in this home, or mutual TLS from this device.

import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import type { ErrorFields } from '@palyra/identity/errors';
import { mustBeOwnFolder } from '@palyra/identity/files';
import { AdminService, dialAdmin, fromConnectError, type Http2Connection } from '@palyra/rpc';
import { nodePort } from './address.ts';
import type { Cli } from './cli.ts';
import { untilInterrupted } from './interruption.ts';
import type { Remote } from './remote.ts';

export type Admin = Client<typeof AdminService>;
export type Pairing = Awaited<ReturnType<Admin['getPairing']>>;
export type Device = Awaited<ReturnType<Admin['renameDevice']>>;
export type Certificate = Awaited<ReturnType<Admin['revokeCertificate']>>;

/** @throws UNREACHABLE, the daemon's error, or the interruption. */
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
    throw error instanceof ConnectError ? answerOf(error, cli.remote) : error;
  } finally {
    stopProgress();
    connection?.close();
  }
}

async function dial(cli: Cli): Promise<Http2Connection> {
  // The socket needs none of what reaches another machine, which takes longer to load than a call takes.
  if (cli.remote) return (await import('./remote-admin.ts')).dialRemote(cli, cli.remote);
  try {
    return await dialAdmin(cli.home.adminSocket);
  } catch (error) {
    const reason = error instanceof IdentityError && (error.cause as NodeJS.ErrnoException | undefined)?.code;
    const isDown = reason === 'ENOENT' || reason === 'ECONNREFUSED';
    const { path } = cli.home;
    let why = '';
    let fields: ErrorFields = { about: 'admin_socket' };
    try {
      await mustBeOwnFolder(path);
    } catch (notOwn) {
      if (!isDown || !(notOwn instanceof IdentityError)) throw notOwn;
      why = ` ${notOwn.message}`;
      fields = notOwn.fields;
    }
    if (!isDown) throw error;
    throw new IdentityError('UNREACHABLE', `No daemon runs in the home ${path}.${why}`, {
      ...fields,
      cause: error,
    });
  }
}

function answerOf(error: ConnectError, remote: Remote | undefined): IdentityError {
  const answer = fromConnectError(error);
  if (answer.code !== 'UNREACHABLE') return answer;
  if (error.code === Code.Unimplemented) {
    const address = remote?.address;
    if (address === undefined) return answer;
    return new IdentityError(
      'UNREACHABLE',
      `The server at ${address} is not a node listener (usually port ${nodePort}), or runs another version.`,
      { cause: error },
    );
  }
  return new IdentityError('UNREACHABLE', 'The daemon stopped before it had answered.', {
    about: 'admin_socket',
    cause: error,
  });
}
