// Serves the streams of a connection only after the daemon has admitted the connection, and none after the connection was refused
// or closed. Implementations of the contract pass their streams through this file.

import { IdentityError } from '@palyra/identity/portable';
import { resetReasonOf, toCloseNumber } from './close-code.ts';
import type { ByteStream, ServerConnection, StreamListenOptions } from './contract.ts';

export interface Admission {
  /** A stream the client opened. */
  offer(stream: ByteStream): void;
  /** Serves no more streams, and closes the connection with this error when the running streams have ended. */
  drain(error: IdentityError): void;
  /** Closes a connection that was shut out. Its running streams have a short time to send the reason. */
  shut(error: IdentityError): void;
}

/** Time for the last answer to leave before the connection is closed, ms. Most peers close the connection first. */
const lastAnswerMs = 250;
/** Time for the calls of a connection that was shut out to send the reason, ms. */
const shutGraceMs = 200;

/** Asks `admit` and holds the streams meanwhile. The connection's stream limit bounds their number. */
export function startAdmission(
  connection: ServerConnection,
  options: Pick<StreamListenOptions, 'admit' | 'serve'>,
  timeoutMs: number,
): Admission {
  let state: 'deciding' | 'admitted' | 'closed' = 'deciding';
  const held: ByteStream[] = [];
  let served = 0;
  let draining: IdentityError | undefined;
  let shut: IdentityError | undefined;

  const serve = async (stream: ByteStream) => {
    if (shut) return stream.reset(resetReasonOf(toCloseNumber(shut.code)));
    if (draining) return stream.reset('UNREACHABLE');
    served += 1;
    await options.serve(stream, connection);
    served -= 1;
    if (shut && served === 0) connection.close(shut);
    else if (draining) leave(draining);
  };
  const leave = (error: IdentityError) => {
    if (served === 0) setTimeout(() => connection.close(error), lastAnswerMs).unref();
  };

  const refuse = (error: IdentityError) => {
    if (state !== 'deciding') return;
    state = 'closed';
    connection.close(error);
  };
  const timer = setTimeout(
    () =>
      refuse(new IdentityError('UNREACHABLE', 'The daemon did not decide about this connection in time.')),
    timeoutMs,
  );
  void connection.closed.then(() => {
    state = 'closed';
    clearTimeout(timer);
  });

  void (async () => {
    try {
      await options.admit(connection);
      if (state !== 'deciding') return;
      state = 'admitted';
      for (const stream of held.splice(0)) void serve(stream);
    } catch (error) {
      const known = error instanceof IdentityError;
      refuse(known ? error : new IdentityError('INTERNAL', 'The daemon failed to check this connection.'));
    } finally {
      clearTimeout(timer);
    }
  })();

  return {
    offer(stream) {
      if (state === 'admitted') void serve(stream);
      else if (state === 'deciding') held.push(stream);
      else stream.reset('CANCELLED');
    },
    drain(error) {
      draining = error;
      if (state === 'admitted') leave(error);
      else refuse(error);
    },
    shut(error) {
      if (state !== 'admitted') return refuse(error);
      shut = error;
      const end = () => connection.close(error);
      // Set first, so that the connection ends even if a later step fails.
      setTimeout(end, shutGraceMs).unref();
      if (served === 0) end();
    },
  };
}

/** Resolves when all connections are closed, or when `until` is aborted. */
export async function drained(
  connections: Iterable<Pick<ServerConnection, 'closed'>>,
  until: AbortSignal,
): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const stop = () => resolve();
  until.addEventListener('abort', stop);
  if (until.aborted) stop();
  await Promise.race([over, Promise.all([...connections].map(({ closed }) => closed))]);
  until.removeEventListener('abort', stop);
}
