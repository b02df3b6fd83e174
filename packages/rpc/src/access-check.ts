// The one interceptor on every server: access table, then the registry, then the handler. It also turns every error
// into what the peer is told.

import type {
  Interceptor,
  StreamRequest,
  StreamResponse,
  UnaryRequest,
  UnaryResponse,
} from '@connectrpc/connect';
import { type AuthenticatedDevice, type DeviceId, IdentityError } from '@palyra/identity';
import { access, type Caller } from './access.ts';
import { toConnectError } from './error-map.ts';
import { type DevicePeer, type Peer, peerIn, setDevice } from './peer.ts';

/** @param onInternal told of bugs and failing stores, of which the peer learns nothing but the code. */
export function accessCheck(onInternal: (error: unknown, method: string) => void): Interceptor {
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    const peer = peerIn(request.contextValues);
    const told = (error: unknown) => report(error, method, peer);
    try {
      const caller = access[method];
      if (!peer || !mayAsk(peer, caller)) throw notAllowed(method, caller, peer);
      if (peer.caller !== 'device') return mapErrors(await next(request), told);
      const guard = new Guard(peer, caller === 'operator');
      setDevice(request.contextValues, await guard.check());
      const answer = next(guard.narrow(request));
      const response = await (request.stream ? answer : guard.orEnded(answer));
      await guard.recheck();
      return mapErrors(
        response.stream ? { ...response, message: guard.each(response.message) } : response,
        told,
      );
    } catch (error) {
      throw told(error);
    }
  };

  function report(error: unknown, method: string, peer: Peer | undefined): Error {
    const mapped = toConnectError(error, { operator: peer?.caller === 'operator' });
    if (mapped.internal) onInternal(error, method);
    return mapped.error;
  }
}

function mapErrors(
  response: UnaryResponse | StreamResponse,
  told: (error: unknown) => Error,
): UnaryResponse | StreamResponse {
  return response.stream ? { ...response, message: mapStream(response.message, told) } : response;
}

/** A device may ask for what operators do; whether it is one is for the registry to say. */
function mayAsk(peer: Peer, caller: Caller | undefined): boolean {
  if (peer.caller === 'operator') return caller === 'operator' || caller === 'local operator';
  return caller === peer.caller || (caller === 'operator' && peer.caller === 'device');
}

/** A device's right to one call, for as long as the call lasts. */
class Guard {
  readonly #peer: DevicePeer;
  readonly #asOperator: boolean;
  readonly #ended: AbortSignal;
  #epoch = -1;

  constructor(peer: DevicePeer, asOperator: boolean) {
    this.#peer = peer;
    this.#asOperator = asOperator;
    this.#ended = asOperator ? AbortSignal.any([peer.ended, peer.roleEnded()]) : peer.ended;
  }

  async check(): Promise<AuthenticatedDevice> {
    // Read before the check, kept only after it: a failed check must not count as one that holds.
    const epoch = this.#peer.epoch();
    const device = await this.#peer.check();
    if (this.#asOperator && device.role !== 'operator') throw roleMissing(device.deviceId);
    this.#epoch = epoch;
    return device;
  }

  /** The request as the handler gets it: what it does for an operator, it is told to stop when the role is taken. */
  narrow(request: UnaryRequest | StreamRequest): UnaryRequest | StreamRequest {
    const signal = this.#asOperator ? AbortSignal.any([request.signal, this.#ended]) : request.signal;
    return request.stream
      ? { ...request, signal, message: this.each(request.message) }
      : { ...request, signal };
  }

  /** Free while nobody was revoked. */
  async recheck(): Promise<void> {
    if (this.#peer.epoch() !== this.#epoch) await this.check();
  }

  /** The same messages, each checked; a wait for the next one ends when the device is shut out. */
  async *each<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    const iterator = messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.orEnded(iterator.next());
        await this.recheck();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      // Not waited for: it may be in the middle of a wait of its own.
      iterator.return?.()?.catch?.(() => {});
    }
  }

  /** The result, or the reason why the caller waits for it no more. */
  orEnded<T>(next: Promise<T>): Promise<T> {
    const ended = this.#ended;
    return new Promise((resolve, reject) => {
      const stop = () => reject(ended.reason);
      // Taken in any case: a wait that fails later, with nobody to hear of it, would end the process.
      next.then(resolve, reject).finally(() => ended.removeEventListener('abort', stop));
      if (ended.aborted) stop();
      else ended.addEventListener('abort', stop, { once: true });
    });
  }
}

async function* mapStream<T>(messages: AsyncIterable<T>, map: (error: unknown) => Error): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw map(error);
  }
}

export function roleMissing(id: DeviceId): IdentityError {
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `Device ${id} does not have the operator role. It is given on the daemon's machine: palyra devices set-role ${id} operator`,
  );
}

function notAllowed(method: string, caller: Caller | undefined, peer: Peer | undefined): IdentityError {
  if (peer?.caller === 'device' && caller === 'local operator') {
    return new IdentityError('CALLER_NOT_ALLOWED', `${method} works on the daemon's own machine only.`);
  }
  const callers = { anyone: 'a peer without a certificate', device: 'a device', operator: 'the operator' };
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `${method} is not for ${peer ? callers[peer.caller] : 'this peer'}.`,
  );
}
