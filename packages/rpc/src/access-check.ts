// The one interceptor on every server: access table, then the registry, then the handler. It also turns every error
// into what the peer is told.

import type { Interceptor } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { access } from './access.ts';
import { toConnectError } from './error-map.ts';
import { type Peer, peerIn, setDevice } from './peer.ts';

/** @param onInternal told of errors that have no code of ours: bugs, which the peer learns nothing about. */
export function accessCheck(onInternal: (error: unknown, method: string) => void): Interceptor {
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    try {
      const peer = peerIn(request.contextValues);
      if (!peer || access[method] !== peer.caller) throw notAllowed(method, peer);
      if (peer.caller === 'device') setDevice(request.contextValues, await peer.check());
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: mapStream(response.message, (error) => report(error, method)) };
    } catch (error) {
      throw report(error, method);
    }
  };

  function report(error: unknown, method: string) {
    const mapped = toConnectError(error);
    if (mapped.internal) onInternal(error, method);
    return mapped.error;
  }
}

async function* mapStream<T>(messages: AsyncIterable<T>, map: (error: unknown) => Error): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw map(error);
  }
}

function notAllowed(method: string, peer: Peer | undefined): IdentityError {
  const callers = { anyone: 'a peer without a certificate', device: 'a device', operator: 'the operator' };
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `${method} is not for ${peer ? callers[peer.caller] : 'this peer'}.`,
  );
}
