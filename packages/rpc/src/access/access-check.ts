// The access check of every server: access table, then registry, then handler. It also converts every error into the error that
// the peer receives.

import { type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  type Interceptor,
  type StreamRequest,
} from '@connectrpc/connect';
import { type AuthenticatedDevice, IdentityError } from '@palyra/identity';
import { roleMissing, tellingOfChanges } from '@palyra/identity/registry';
import { throwIfBrokenOff } from '../calls/deadline.ts';
import { toConnectError } from '../error-map.ts';
import { access, type Caller, type OwnCalls } from './access.ts';
import { type DevicePeer, type Peer, peerIn, setDevice } from './peer.ts';

/** Checks the right to a call, before the handler and again after it. */
export interface CallCheck {
  /**
   * Checks before any of the call's body is read. @returns undefined when the body may be read at once.
   * @throws ConnectError for the peer. The returned promise rejects with one too.
   */
  begin(method: string, values: ContextValues): Promise<void> | undefined;
  /**
   * @param method without a leading slash.
   * @param values context values of the call. They hold the peer; the check adds the device.
   * @param run the handler. When `ended` is aborted, the handler's work is no longer needed.
   * @param header a header of the request, for observers of the call.
   * @throws ConnectError for the peer.
   */
  unary<T>(
    method: string,
    values: ContextValues,
    run: (ended?: AbortSignal) => Promise<T> | T,
    header?: (name: string) => string | undefined,
  ): Promise<T>;
  /** The check for calls of every kind that Connect serves. */
  readonly interceptor: Interceptor;
}

/**
 * @param onInternal called for bugs and failing stores. The peer learns only the code.
 * @param own access to services of the embedding program. Default: there are none.
 */
export function accessCheck(
  onInternal: (error: unknown, method: string) => void,
  own: OwnCalls = { access: {} },
): CallCheck {
  const isOwn = (method: string) => Object.hasOwn(own.access, method);
  const callerOf = (method: string): Caller | undefined => access[method] ?? own.access[method];

  /** @throws CALLER_NOT_ALLOWED */
  const mayCall = (method: string, values: ContextValues): Peer => {
    const peer = peerIn(values);
    const caller = callerOf(method);
    if (!peer || !mayAsk(peer, caller)) throw notAllowed(method, caller, peer);
    return peer;
  };

  /** The right of a device, which is checked while the call lasts. Other peers are checked here. */
  const guardOf = async (method: string, values: ContextValues): Promise<Guard | undefined> => {
    const peer = mayCall(method, values);
    if (peer.caller === 'peer') await peer.check();
    if (peer.caller !== 'device') return undefined;
    return new Guard(peer, {
      asOperator: callerOf(method) === 'operator',
      ...(isOwn(method) && { own }),
    });
  };

  const told = (error: unknown, method: string, values: ContextValues): Error => {
    const caller = peerIn(values)?.caller;
    // A peer passes the whole error on to an operator.
    const operator = caller === 'operator' || caller === 'peer';
    const mapped = toConnectError(error, { operator, isOwn: isOwn(method) });
    if (mapped.internal) onInternal(error, method);
    return mapped.error;
  };

  const begin: CallCheck['begin'] = (method, values) => {
    const fail = (error: unknown) => {
      throw told(error, method, values);
    };
    try {
      const peer = mayCall(method, values);
      const isKnownLater = peer.caller === 'device' || peer.caller === 'peer';
      return isKnownLater ? peer.admitted()?.catch(fail) : undefined;
    } catch (error) {
      return fail(error);
    }
  };

  const isForOperators = (method: string): boolean =>
    access[method] === 'operator' || access[method] === 'local operator';

  const unary: CallCheck['unary'] = async (method, values, handle) => {
    // Operators act on what an error says of a change. Devices just repeat their calls.
    const run = isForOperators(method)
      ? (ended?: AbortSignal) => tellingOfChanges(() => handle(ended))
      : handle;
    try {
      const guard = await guardOf(method, values);
      if (!guard) return await run();
      setDevice(values, await guard.begin());
      const running = run(guard.handlerEnd);
      // A synchronous answer needs no second check, because nothing can happen in between.
      if (!isPromiseLike(running)) return running;
      const result = await guard.orEnded(running);
      const checked = guard.checkAgain();
      if (checked) await checked;
      return result;
    } catch (error) {
      throw told(error, method, values);
    }
  };

  const interceptor: Interceptor = (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    const { contextValues: values } = request;
    if (!request.stream) {
      return unary(method, values, (ended) =>
        next(ended ? { ...request, signal: AbortSignal.any([request.signal, ended]) } : request),
      );
    }
    try {
      const guard = await guardOf(method, values);
      if (guard) setDevice(values, await guard.begin());
      const readable = { ...request, message: fromPeer(request.message) };
      const response = guard ? await guard.orEnded(next(guard.narrow(readable))) : await next(readable);
      await guard?.checkAgain();
      if (!response.stream) return response;
      const sent = untilBrokenOff(response.message, request.signal);
      const all = isOwn(method) ? encodable(request.method.output, sent) : sent;
      const messages = guard ? guard.each(all) : all;
      return { ...response, message: mapStream(messages, (error) => told(error, method, values)) };
    } catch (error) {
      throw told(error, method, values);
    }
  };

  return { begin, unary, interceptor };
}

/** Lets a device attempt an operator's call. The registry decides whether the device is an operator. */
function mayAsk(peer: Peer, caller: Caller | undefined): boolean {
  if (peer.caller === 'operator') return caller === 'operator' || caller === 'local operator';
  return caller === peer.caller || (caller === 'operator' && peer.caller === 'device');
}

/** How often a call is checked again because a role changed during its check. */
const maxChecks = 3;

/** A device's right to one call, checked while the call lasts. */
class Guard {
  readonly #peer: DevicePeer;
  readonly #asOperator: boolean;
  readonly #own: OwnCalls | undefined;
  #ended: AbortSignal;
  #epoch = -1;

  /** @param options.own for a service that is not the daemon's. */
  constructor(
    peer: DevicePeer,
    { asOperator, own }: { readonly asOperator: boolean; readonly own?: OwnCalls },
  ) {
    this.#peer = peer;
    this.#asOperator = asOperator;
    this.#own = own;
    this.#ended = this.#end();
  }

  #end(): AbortSignal {
    return this.#asOperator ? AbortSignal.any([this.#peer.ended, this.#peer.roleEnded()]) : this.#peer.ended;
  }

  /**
   * The check before the handler. Another daemon may have taken the operator role and given it back before this call: the check
   * hears of both, which end an earlier signal, and decides again.
   */
  async begin(): Promise<AuthenticatedDevice> {
    for (let triesLeft = maxChecks; ; triesLeft -= 1) {
      const device = await this.check();
      if (!this.#ended.aborted || this.#peer.ended.aborted || triesLeft === 0) return device;
      this.#ended = this.#end();
    }
  }

  async check(): Promise<AuthenticatedDevice> {
    // Read before the check and stored only after it, so that a failed check does not count as valid.
    const epoch = this.#peer.epoch();
    const device = await this.#peer.check();
    if (this.#asOperator && device.role !== 'operator') throw roleMissing(device.deviceId);
    this.#epoch = epoch;
    return device;
  }

  /** Aborts the handler: of an operator's call when the device loses the role, of a program's own service in any case. */
  get handlerEnd(): AbortSignal | undefined {
    return this.#asOperator || this.#own ? this.#ended : undefined;
  }

  /** The request for the handler. */
  narrow(request: StreamRequest): StreamRequest {
    const ends = [request.signal, this.handlerEnd, this.#own?.stopping].filter((end) => end !== undefined);
    const signal = AbortSignal.any(ends);
    return { ...request, signal, message: this.each(request.message) };
  }

  /** Checks the device again if any device was revoked since the last check. @returns undefined if none was. */
  checkAgain(): Promise<unknown> | undefined {
    const checkIfStale = () => (this.#peer.epoch() === this.#epoch ? undefined : this.check());
    const upToDate = this.#peer.upToDate();
    return upToDate ? upToDate.then(checkIfStale) : checkIfStale();
  }

  /** Passes the messages on and checks the device for each. A wait for the next message ends when the device is shut out. */
  async *each<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    const iterator = messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.orEnded(iterator.next());
        const checked = this.checkAgain();
        if (checked) await checked;
        if (next.done) return;
        yield next.value;
      }
    } finally {
      // Not awaited, because the iterator may itself be waiting.
      iterator.return?.()?.catch?.(() => {});
    }
  }

  /** Resolves with the result, or rejects with the reason why the caller no longer waits. */
  orEnded<T>(next: PromiseLike<T>): Promise<T> {
    const ended = this.#ended;
    return new Promise((resolve, reject) => {
      const stop = () => reject(ended.reason);
      // Always handled, because an unhandled rejection would end the process.
      Promise.resolve(next)
        .then(resolve, reject)
        .finally(() => ended.removeEventListener('abort', stop));
      if (ended.aborted) stop();
      else ended.addEventListener('abort', stop, { once: true });
    });
  }
}

/** A message that cannot be parsed is the peer's fault. Connect reports it as an internal error. */
async function* fromPeer<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.Internal) throw error;
    throw new ConnectError(error.rawMessage, Code.InvalidArgument, undefined, undefined, error);
  }
}

/** Fails a stream that ends because its deadline has passed, instead of ending it as if it were complete. */
async function* untilBrokenOff<T>(messages: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  yield* messages;
  throwIfBrokenOff(signal);
}

/** Whether the value is a promise, of Node or of a library. */
const isPromiseLike = <T>(value: PromiseLike<T> | T): value is PromiseLike<T> =>
  typeof (value as Partial<PromiseLike<T>> | undefined)?.then === 'function';

/** Passes the messages on. Reports those that cannot be encoded, because Connect would report them only to the peer. */
async function* encodable<T extends Message>(
  schema: DescMessage,
  messages: AsyncIterable<T>,
): AsyncIterable<T> {
  for await (const message of messages) {
    toBinary(schema, message);
    yield message;
  }
}

async function* mapStream<T>(messages: AsyncIterable<T>, map: (error: unknown) => Error): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw map(error);
  }
}

function notAllowed(method: string, caller: Caller | undefined, peer: Peer | undefined): IdentityError {
  if (peer?.caller === 'device' && caller === 'local operator') {
    return new IdentityError('CALLER_NOT_ALLOWED', `${method} works on the daemon's own machine only.`);
  }
  const callers = {
    anyone: 'a peer without a certificate',
    device: 'a device',
    peer: 'another daemon',
    operator: 'the operator',
  };
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    `${method} is not for ${peer ? callers[peer.caller] : 'this peer'}.`,
  );
}
