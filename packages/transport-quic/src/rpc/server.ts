// Connect's services over QUIC: the gRPC protocol, one stream per call.

import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  type ContextValues,
  createConnectRouter,
} from '@connectrpc/connect';
import {
  type UniversalHandler,
  type UniversalServerResponse,
  uResponseNotFound,
} from '@connectrpc/connect/protocol';
import { IdentityError } from '@palyra/identity';
import type { QuicServerConnection, QuicStream } from '../contract.ts';
import { CallStream } from './call-stream.ts';
import { defaultFrameLimits, type FrameLimits } from './frame.ts';

export interface ConnectOverQuicOptions
  extends Pick<
    ConnectRouterOptions,
    'interceptors' | 'readMaxBytes' | 'writeMaxBytes' | 'maxTimeoutMs' | 'shutdownSignal'
  > {
  /** The same function that the HTTP/2 listener takes. */
  routes(router: ConnectRouter): void;
  /** What handlers of this call find in their context: who is on the other end of the connection. */
  contextValues?(connection: QuicServerConnection): ContextValues;
  /** Failures inside Connect that no peer is told of. */
  onError?(error: unknown, path: string): void;
  readonly frameLimits?: Partial<FrameLimits>;
}

/** For `serve` of QuicListenOptions. `readMaxBytes` and `writeMaxBytes` are 1 MiB where they are not given. */
export function serveConnectOverQuic(
  options: ConnectOverQuicOptions,
): (stream: QuicStream, connection: QuicServerConnection) => Promise<void> {
  const { routes, contextValues, onError, frameLimits, ...routerOptions } = options;
  const limits = { ...defaultFrameLimits, ...frameLimits };
  const router = createConnectRouter({
    readMaxBytes: 1_048_576,
    writeMaxBytes: 1_048_576,
    ...routerOptions,
    grpc: true,
    grpcWeb: false,
    connect: false,
  });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (stream, connection) => {
    const call = new CallStream(stream, 'answerer', limits);
    return answer(call, handlers, () => contextValues?.(connection), onError);
  };
}

const callerGone = (cause: Error) => new ConnectError(cause.message, Code.Canceled, undefined, [], cause);
const callOver = new ConnectError('The call is over.', Code.Canceled);

async function answer(
  call: CallStream,
  handlers: ReadonlyMap<string, UniversalHandler>,
  contextValues: () => ContextValues | undefined,
  onError: ConnectOverQuicOptions['onError'],
): Promise<void> {
  const abort = new AbortController();
  call.onFailure((cause) => abort.abort(callerGone(cause)));
  let path = '';
  try {
    const request = await call.request();
    path = request.path;
    const handler = handlers.get(path);
    if (!handler) {
      await respond(call, uResponseNotFound, true);
      return;
    }
    const context = contextValues();
    const response = await handler({
      httpVersion: '2.0',
      method: 'POST',
      url: `https://quic.invalid${path}`,
      header: request.headers,
      body: call.body(),
      signal: abort.signal,
      ...(context ? { contextValues: context } : {}),
    });
    const { methodKind } = handler.method;
    await respond(call, response, methodKind === 'unary' || methodKind === 'client_streaming');
  } catch (error) {
    if (call.failure) return;
    const tooLarge = error instanceof IdentityError && error.code === 'MESSAGE_TOO_LARGE';
    call.reset(tooLarge ? 'MESSAGE_TOO_LARGE' : 'INTERNAL');
    onError?.(error, path);
  } finally {
    abort.abort(callOver);
  }
}

/** @param whole an answer of one message goes out in one piece; a stream of them, each as soon as it is there. */
async function respond(call: CallStream, response: UniversalServerResponse, whole: boolean): Promise<void> {
  const head = {
    type: 'response',
    status: response.status,
    headers: response.header ?? new Headers(),
  } as const;
  let started = false;
  // Headers go with the first message and not before: until then the handler may set them.
  for await (const bytes of response.body ?? []) {
    if (!started) call.queue(head);
    started = true;
    await call.queueData(bytes);
    if (!whole) await call.flush();
  }
  if (!started) call.queue(head);
  call.queue({ type: 'trailers', headers: response.trailer ?? new Headers() });
  await call.finish();
}
