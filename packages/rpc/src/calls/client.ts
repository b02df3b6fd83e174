// Connect's client over a stream transport: the gRPC protocol, one stream per call.

import { Code, ConnectError, type Interceptor, type Transport } from '@connectrpc/connect';
import {
  getAbortSignalReason,
  type UniversalClientFn,
  type UniversalClientRequest,
  validateReadWriteMaxBytes,
} from '@connectrpc/connect/protocol';
import { createTransport } from '@connectrpc/connect/protocol-grpc';
import type { ClientConnection } from '../streams/contract.ts';
import { toCallError } from './call-error.ts';
import { CallStream } from './call-stream.ts';
import { inMessages } from './chunk-buffer.ts';
import { defaultFrameLimits, type FrameLimits } from './frame.ts';

export interface CallTransportOptions {
  /**
   * Returns a connection. Runs at the first call, and again at the first call after a connection is lost. Calls in between
   * share the connection. The caller retries after a failure, and waits before each retry.
   */
  connect(): Promise<ClientConnection>;
  /** Interceptors of `@connectrpc/connect`, run around each call. Default: none. */
  readonly interceptors?: Interceptor[];
  /** Timeout of a call that sets none. Default: none. */
  readonly defaultTimeoutMs?: number;
  /** One message received, bytes. Default 1 MiB. */
  readonly readMaxBytes?: number;
  /** One message sent, bytes. Default 1 MiB. */
  readonly writeMaxBytes?: number;
  /** Default: `defaultFrameLimits`. */
  readonly frameLimits?: Partial<FrameLimits>;
}

/** Only the paths of calls matter. This host name makes them URLs. */
const baseUrl = 'https://streams.invalid';

export function createCallTransport(options: CallTransportOptions): Transport {
  const limits = { ...defaultFrameLimits, ...options.frameLimits };
  const { readMaxBytes = 1_048_576, writeMaxBytes = 1_048_576 } = options;
  const connection = sharedConnection(options.connect);
  const transport = (sending: Sending) =>
    createTransport({
      baseUrl,
      httpClient: callOver(connection, limits, sending, readMaxBytes),
      useBinaryFormat: true,
      interceptors: options.interceptors ?? [],
      acceptCompression: [],
      sendCompression: null,
      ...validateReadWriteMaxBytes(readMaxBytes, writeMaxBytes, undefined),
      ...(options.defaultTimeoutMs === undefined ? {} : { defaultTimeoutMs: options.defaultTimeoutMs }),
    });
  const whole = transport('whole');
  const asItComes = transport('as it comes');
  return {
    unary: (...call) => whole.unary(...call),
    stream: (...call) => (call[0].methodKind === 'server_streaming' ? whole : asItComes).stream(...call),
  };
}

/** A request of one message is sent in one piece. Each message of a stream is sent as soon as it is ready. */
type Sending = 'whole' | 'as it comes';

function sharedConnection(connect: () => Promise<ClientConnection>): () => Promise<ClientConnection> {
  let current: Promise<ClientConnection> | undefined;
  return () => {
    if (current) return current;
    const dialled = connect();
    const forget = () => {
      if (current === dialled) current = undefined;
    };
    dialled.then((connection) => void connection.closed.then(forget), forget);
    current = dialled;
    return dialled;
  };
}

function callOver(
  connect: () => Promise<ClientConnection>,
  limits: FrameLimits,
  sending: Sending,
  readMaxBytes: number,
): UniversalClientFn {
  return async (request) => {
    try {
      const connection = await untilAborted(connect(), request.signal);
      const call = new CallStream(await connection.openStream(request.signal), 'caller', limits);
      cancelOnAbort(call, request.signal);
      void send(call, request, sending);

      const response = await call.response();
      const trailer = new Headers();
      return {
        status: response.status,
        header: new Headers([...response.headers]),
        body: bodyAndTrailers(call, trailer, readMaxBytes),
        trailer,
      };
    } catch (error) {
      throw request.signal?.aborted ? abortReason(request.signal) : toCallError(error);
    }
  };
}

async function send(call: CallStream, request: UniversalClientRequest, sending: Sending): Promise<void> {
  try {
    call.queue({ type: 'request', path: request.url.slice(baseUrl.length), headers: request.header });
    if (sending === 'as it comes') await call.flush();
    for await (const bytes of request.body ?? []) {
      if (call.over) return;
      await call.queueData(bytes);
      if (sending === 'as it comes') await call.flush();
    }
    if (call.over) return;
    call.queue({ type: 'end' });
    await call.flush();
  } catch (error) {
    // No effect when the call has failed or is complete.
    call.reset('CANCELLED', toCallError(error));
  }
}

async function* bodyAndTrailers(
  call: CallStream,
  trailer: Headers,
  readMaxBytes: number,
): AsyncGenerator<Uint8Array> {
  try {
    yield* inMessages(call.body(), readMaxBytes);
    for (const [name, value] of await call.trailers()) trailer.append(name, value);
  } catch (error) {
    throw toCallError(error);
  }
}

function cancelOnAbort(call: CallStream, signal: AbortSignal | undefined): void {
  if (!signal) return;
  // Connect aborts its signal after every call, including complete calls.
  const cancel = () => call.over || call.reset('CANCELLED', abortReason(signal));
  if (signal.aborted) cancel();
  signal.addEventListener('abort', cancel, { once: true });
  const release = () => signal.removeEventListener('abort', cancel);
  call.trailers().then(release, release);
}

function abortReason(signal: AbortSignal): ConnectError {
  return ConnectError.from(getAbortSignalReason(signal), Code.Canceled);
}

/** Applies a call's deadline while the call waits for a connection that other calls share. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(abortReason(signal));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
