// Connect's services over a stream transport: the gRPC protocol, one stream per call.

import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ContextValues,
  createConnectRouter,
  createContextValues,
} from '@connectrpc/connect';
import {
  type UniversalHandler,
  type UniversalServerResponse,
  uResponseNotFound,
} from '@connectrpc/connect/protocol';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { IdentityError } from '@palyra/identity';
import type { CallCheck } from '../access/access-check.ts';
import type { Connection } from '../connections/connection.ts';
import { defaultRequestMs, InputClock } from '../connections/input-clock.ts';
import { StreamReset } from '../streams/close-code.ts';
import type { ByteStream, ServerConnection } from '../streams/contract.ts';
import { CallStream } from './call-stream.ts';
import { inMessages } from './chunk-buffer.ts';
import { settleDeadline } from './deadline.ts';
import { defaultFrameLimits, encodeFrame, type Frame, type FrameLimits } from './frame.ts';
import { acceptedEncoding, encodingProblem } from './message-encoding.ts';
import {
  grpcContentType,
  grpcStatusOk,
  type RequestHead,
  type UnaryAnswer,
  type UnaryCall,
  type UnaryCallOptions,
} from './unary-call.ts';
import { UnaryMethods } from './unary-methods.ts';
import type { HeldBytes } from './unfinished-bytes.ts';

/** `readMaxBytes` and `writeMaxBytes` default to 1 MiB. */
export interface ServeCallsOptions extends Partial<UnaryCallOptions> {
  /** Registers the services. The HTTP/2 listener takes the same function. */
  routes(router: ConnectRouter): void;
  /** Context values for the call's handler: the peer of the connection. */
  contextValues?(connection: ServerConnection): ContextValues;
  /** Called for failures inside Connect that are not reported to the peer. */
  onError?(error: unknown, path: string): void;
  /** Default: `defaultFrameLimits`. */
  readonly frameLimits?: Partial<FrameLimits>;
}

/** Called when a call begins. The returned function is called when the call ends. */
type Begins = Connection['begins'];

/** For `serve` of StreamListenOptions. @returns what may also be given `begins`, of a stranger's connection. */
export function serveCalls(
  options: ServeCallsOptions,
): (stream: ByteStream, connection: ServerConnection, begins?: Begins) => Promise<void> {
  const {
    routes,
    contextValues,
    onError,
    check,
    readMaxBytes = 1_048_576,
    writeMaxBytes = 1_048_576,
    requestMs = defaultRequestMs,
  } = options;
  const limits = { ...defaultFrameLimits, ...options.frameLimits };
  const messageLimits = { readMaxBytes, writeMaxBytes };
  const methods = new UnaryMethods({ ...messageLimits, requestMs, onError, ...(check && { check }) });
  const protocols = { grpcWeb: false, connect: false };
  const router = createConnectRouter({
    ...messageLimits,
    ...(check && { interceptors: [check.interceptor] }),
    ...protocols,
  });
  methods.collect(routes, protocols)(router);
  const services: Services = {
    methods,
    check,
    handlers: new Map(router.handlers.map((handler) => [handler.requestPath, handler])),
    readMaxBytes,
    requestMs,
    onError,
  };

  return async (stream, connection, begins) => {
    const held = connection.unfinished.call();
    const call = new CallStream(stream, 'answerer', limits, held);
    const ended = begins?.(() => call.isWhole && !call.over);
    await answer(call, held, services, () => contextValues?.(connection) ?? createContextValues());
    ended?.(call.isWhole);
  };
}

interface Services {
  readonly methods: UnaryMethods;
  readonly check: CallCheck | undefined;
  /** Connect's handlers, by path. */
  readonly handlers: ReadonlyMap<string, UniversalHandler>;
  readonly readMaxBytes: number;
  readonly requestMs: number;
  readonly onError: ServeCallsOptions['onError'];
}

const callerGone = (cause: Error) => new ConnectError(cause.message, Code.Canceled, undefined, [], cause);
/** Made once, and not before it is needed: its metadata loads the whole of Node's `fetch`. */
let callOver: ConnectError | undefined;

async function answer(
  call: CallStream,
  held: HeldBytes,
  services: Services,
  contextValues: () => ContextValues,
): Promise<void> {
  let path = '';
  let isBegun = false;
  let unary: UnaryCall | undefined;
  try {
    const head = new InputClock({ requestMs: services.requestMs, isOneMessage: true });
    const request = await head.wait(call.request());
    const since = performance.now();
    path = request.path;
    const values = contextValues();
    unary = services.methods.begin(headOf(request), values, held);
    const { check, handlers } = services;
    // Awaited only when it is a promise, which it is for few calls.
    const wait = handlers.has(path) ? check?.begin(path.slice(1), values) : undefined;
    if (wait) await wait;
    const problem = handlers.has(path) ? encodingProblem(headOf(request).field) : undefined;
    if (problem) return await refuse(call, problem, [acceptedEncoding]);
    isBegun = true;
    if (unary) await answerUnary(call, unary);
    else await answerByConnect(call, { ...request, since }, services, values, held);
  } catch (error) {
    if (call.failure) return;
    // The access check failed before any of the body was read.
    if (error instanceof ConnectError && !isBegun) {
      unary?.abort(() => error);
      return refuse(call, error).catch(() => {});
    }
    const tooLarge = error instanceof IdentityError && error.code === 'MESSAGE_TOO_LARGE';
    call.reset(tooLarge ? 'MESSAGE_TOO_LARGE' : 'INTERNAL');
    services.onError?.(error, path);
  }
}

type Header = readonly [name: string, value: string];

async function refuse(call: CallStream, error: ConnectError, more: readonly Header[] = []): Promise<void> {
  const trailer = new Headers();
  setTrailerStatus(trailer, error);
  call.queue({
    type: 'response',
    status: 200,
    headers: new Map([['content-type', grpcContentType] as const, ...more]),
  });
  call.queue({ type: 'trailers', headers: trailer });
  await call.finish();
}

type RequestFrame = Extract<Frame, { type: 'request' }>;

function headOf({ path, headers }: RequestFrame): RequestHead {
  return {
    path,
    field: (wanted) => {
      let found: string | undefined;
      for (const [name, value] of headers)
        if (name === wanted) found = found === undefined ? value : `${found}, ${value}`;
      return found;
    },
    headers: () => new Headers([...headers]),
  };
}

const plainHead = encodeFrame({
  type: 'response',
  status: 200,
  headers: [['content-type', grpcContentType]],
});
const plainTrailers = encodeFrame({ type: 'trailers', headers: [['grpc-status', grpcStatusOk]] });

async function answerUnary(call: CallStream, unary: UnaryCall): Promise<void> {
  call.onFailure((cause) => unary.abort(() => callerGone(cause)));
  const { header, message, trailer } = await run(call, unary);
  if (header) {
    header.set('content-type', grpcContentType);
    call.queue({ type: 'response', status: 200, headers: header });
  } else call.queueEncoded(plainHead);
  if (message) await call.queueData(message);
  if (trailer) call.queue({ type: 'trailers', headers: trailer });
  else call.queueEncoded(plainTrailers);
  await call.finish();
}

async function run(call: CallStream, unary: UnaryCall): Promise<UnaryAnswer> {
  const late = Promise.withResolvers<UnaryAnswer>();
  unary.begins(late.resolve);
  const read = async () => {
    try {
      for (let bytes = await call.read(); bytes; bytes = await call.read()) {
        const refusal = unary.push(bytes);
        if (refusal) return refusal;
      }
    } catch (error) {
      // The caller was shut out before its last byte.
      if (error instanceof ConnectError && !call.failure) return unary.refuse(error);
      throw error;
    }
    return unary.answer();
  };
  return Promise.race([late.promise, read()]);
}

async function answerByConnect(
  call: CallStream,
  { path, headers, since }: RequestFrame & { readonly since: number },
  { handlers, readMaxBytes, requestMs }: Services,
  contextValues: ContextValues,
  held: HeldBytes,
): Promise<void> {
  const handler = handlers.get(path);
  if (!handler) {
    await respond(call, uResponseNotFound, true);
    return;
  }
  const header = new Headers([...headers]);
  const { methodKind } = handler.method;
  const clock = new InputClock({
    requestMs,
    isOneMessage: methodKind === 'unary' || methodKind === 'server_streaming',
    deadlineAt: settleDeadline(header, since),
  });
  const abort = new AbortController();
  call.onFailure((cause) => abort.abort(callerGone(cause)));
  try {
    const response = await handler({
      httpVersion: '2.0',
      method: 'POST',
      url: `https://quic.invalid${path}`,
      header,
      body: inMessages(bodyOf(call), readMaxBytes, held, clock),
      signal: abort.signal,
      contextValues,
    });
    await respond(call, response, methodKind === 'unary' || methodKind === 'client_streaming');
  } finally {
    callOver ??= new ConnectError('The call is over.', Code.Canceled);
    abort.abort(callOver);
  }
}

/** A reset means that the caller has left. That is not a failure of the server. */
async function* bodyOf(call: CallStream): AsyncGenerator<Uint8Array> {
  try {
    yield* call.body();
  } catch (error) {
    throw error instanceof StreamReset ? callerGone(error) : error;
  }
}

/** @param whole sends an answer of one message in one piece. Otherwise each message is sent as soon as it is ready. */
async function respond(call: CallStream, response: UniversalServerResponse, whole: boolean): Promise<void> {
  const head = {
    type: 'response',
    status: response.status,
    headers: response.header ?? new Headers(),
  } as const;
  let started = false;
  // Sends the headers with the first message, because the handler may set them until then.
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
