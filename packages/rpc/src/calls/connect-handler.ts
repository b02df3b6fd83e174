// Connect's handlers on a server of Node. Its own adapter for that ends the process over a bad `:authority`, writes to the
// console when a caller goes away, and leaves a caller without an end when an answer cannot be sent.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { isIPv6 } from 'node:net';
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  type ContextValues,
  createConnectRouter,
} from '@connectrpc/connect';
import type { UniversalServerRequest, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { universalRequestFromNodeRequest } from '@connectrpc/connect-node';
import { defaultRequestMs, InputClock } from '../connections/input-clock.ts';
import { closeAfterAnswer, roomOrEnd } from '../http2/node-http2.ts';
import { inMessages, inPieces } from './chunk-buffer.ts';
import { settleDeadline } from './deadline.ts';
import { checkHeaderFields } from './header-fields.ts';
import type { RequestBody } from './request-body.ts';

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

export interface ConnectHandlerOptions extends ConnectRouterOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** One message received, bytes. */
  readonly readMaxBytes: number;
  /** A request must come whole within this, and so must each message of a stream, ms. Default 30 s. */
  readonly requestMs?: number;
  /** What handlers find in their context. */
  readonly contextValues: (request: Request) => ContextValues;
  /** Told of an answer that could not be sent to a caller who is there. The caller's call is reset. */
  readonly onError: (error: unknown, path: string) => void;
  /** Told of HEADERS and DATA of every answer over HTTP/2, before they are sent. */
  readonly answered?: (response: Http2ServerResponse, bytes: number) => void;
}

export interface ConnectHandler {
  /**
   * @param body of the request; otherwise it is read from Node as it comes.
   * @param since when its headers came, by performance.now(). Default: now.
   */
  (request: Request, response: Response, body?: RequestBody, since?: number): void;
  serves(path: string): boolean;
}

export function connectHandler(options: ConnectHandlerOptions): ConnectHandler {
  const { routes, contextValues, onError } = options;
  const answered = (response: Response, bytes: number) => {
    if ('stream' in response) options.answered?.(response, bytes);
  };
  const router = createConnectRouter({ ...options, acceptCompression: [] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const { readMaxBytes, requestMs = defaultRequestMs } = options;
  const handle = (
    request: Request,
    response: Response,
    body?: RequestBody,
    since: number = performance.now(),
  ) => {
    const path = request.url ?? '';
    const handler = handlers.get(path);
    const refuse = (status: number) => {
      answered(response, 0);
      respondRefusal(response, status, body);
    };
    if (!handler) return refuse(404);
    const { methodKind } = handler.method;
    const isOneMessage = methodKind === 'unary' || methodKind === 'server_streaming';
    const limits = { readMaxBytes, requestMs, isOneMessage, since };
    const call = universalRequest(request, response, contextValues(request), limits, body);
    if (!call) return refuse(400);
    handler(call)
      .then((answer) => send(answer, response, answered, body))
      .catch((error) => {
        if (hasGone(response)) return;
        onError(error, path);
        reset(response);
      });
  };
  return Object.assign(handle, { serves: (path: string) => handlers.has(path) });
}

interface InputLimits {
  readonly readMaxBytes: number;
  readonly requestMs: number;
  readonly isOneMessage: boolean;
  /** When the headers came, by performance.now(). */
  readonly since: number;
}

/** Undefined when the request's authority is none. */
function universalRequest(
  request: Request,
  response: Response,
  contextValues: ContextValues,
  { readMaxBytes, since, ...times }: InputLimits,
  own: RequestBody | undefined,
): UniversalServerRequest | undefined {
  bracketAuthority(request);
  try {
    const call = universalRequestFromNodeRequest(request, response, undefined, contextValues);
    const clock = new InputClock({ ...times, deadlineAt: settleDeadline(call.header, since) });
    const isStreamed = /^application\/(?:grpc|connect\+)/i.test(call.header.get('content-type') ?? '');
    const body = own ?? (call.body as AsyncIterable<Uint8Array>);
    return {
      ...call,
      body: isStreamed ? inMessages(body, readMaxBytes, own?.held, clock) : inPieces(body, own?.held, clock),
    };
  } catch {
    // The URL is made of what the peer sent, and nothing else here can fail. It is answered with 400.
    return undefined;
  }
}

/** Node's client, and Connect over it, write an IPv6 address without its brackets. */
function bracketAuthority({ headers }: Request): void {
  const { ':authority': authority } = headers as { ':authority'?: string };
  const [, address, port] = /^([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*):([0-9]+)$/.exec(authority ?? '') ?? [];
  if (address !== undefined && isIPv6(address)) headers[':authority'] = `[${address}]:${port}`;
}

/** Headers go with the first message and not before: until then the handler may set them. */
async function send(
  answer: UniversalServerResponse,
  to: Response,
  answered: (response: Response, bytes: number) => void,
  body: RequestBody | undefined,
): Promise<void> {
  const response = to as ServerResponse;
  const fields = (headers = new Headers()) => {
    if ('stream' in to) checkHeaderFields(headers);
    return Object.fromEntries(headers);
  };
  const head = () => {
    const header = fields(answer.header);
    answered(to, 0);
    response.writeHead(answer.status, header);
  };
  let begun = false;
  for await (const bytes of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    // Which ends the handler as well.
    if (hasGone(to)) return;
    if (!begun) head();
    begun = true;
    answered(to, bytes.length);
    if (!response.write(bytes)) await roomOrEnd(to);
  }
  if (hasGone(to)) return;
  if (!begun) head();
  const trailers = fields(answer.trailer);
  response.addTrailers(trailers);
  // A caller whose call has failed and that leaves its side open would keep its place.
  const status = trailers['grpc-status'];
  const hasFailed = status === undefined ? answer.status !== 200 : status !== '0';
  if (hasFailed && body && !body.isWhole && 'stream' in to) {
    const { stream } = to;
    if (status === undefined) closeAfterAnswer(stream);
    else stream.once('wantTrailers', () => closeAfterAnswer(stream));
  }
  response.end();
}

function respondRefusal(response: Response, status: number, body: RequestBody | undefined): void {
  body?.drop();
  response.statusCode = status;
  response.end();
  if ('stream' in response) closeAfterAnswer(response.stream);
}

const hasGone = (response: Response) =>
  'stream' in response ? response.stream.destroyed : response.destroyed;

function reset(response: Response): void {
  if ('stream' in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}
