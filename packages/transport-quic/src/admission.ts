// Nothing a connection sends is served before the daemon has decided about it, and nothing after it was refused or
// closed. Both implementations of the contract put their streams through here.

import { IdentityError } from '@palyra/identity';
import type { QuicListenOptions, QuicServerConnection, QuicStream } from './contract.ts';

export interface Admission {
  /** A stream the client opened. */
  offer(stream: QuicStream): void;
}

/** Asks `admit`, holding the streams meanwhile; how many there can be is the stream limit of the connection. */
export function startAdmission(
  connection: QuicServerConnection,
  options: Pick<QuicListenOptions, 'admit' | 'serve'>,
  timeoutMs: number,
): Admission {
  let state: 'deciding' | 'admitted' | 'closed' = 'deciding';
  const held: QuicStream[] = [];

  const refuse = (error: IdentityError) => {
    if (state !== 'deciding') return;
    state = 'closed';
    connection.close(error);
  };
  const timer = setTimeout(
    () => refuse(new IdentityError('INTERNAL', 'The daemon did not decide about this connection in time.')),
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
      for (const stream of held.splice(0)) options.serve(stream, connection);
    } catch (error) {
      const known = error instanceof IdentityError;
      refuse(known ? error : new IdentityError('INTERNAL', 'The daemon failed to check this connection.'));
    } finally {
      clearTimeout(timer);
    }
  })();

  return {
    offer(stream) {
      if (state === 'admitted') options.serve(stream, connection);
      else if (state === 'deciding') held.push(stream);
      else stream.reset('CANCELLED');
    },
  };
}
