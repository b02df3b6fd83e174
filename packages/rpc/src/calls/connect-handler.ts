// Runs Connect's handlers on a Node server. Connect's own adapter ends the process over a bad `:authority`, writes to the
// console when a caller leaves, and never ends a call whose answer cannot be sent.

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
  /** Time for a request, or for each message of a stream, to arrive completely, ms. Default 30 s. */
  readonly requestMs?: number;
  /** Context values for the handlers. */
  readonly contextValues: (request: Request) => ContextValues;
  /** Called when an answer cannot be sent although the caller is connected. The call is reset. */
  readonly onError: (error: unknown, path: string) => void;
  /** Called for the HEADERS and DATA of every answer over HTTP/2, before they are sent. */
  readonly answered?: (response: Http2ServerResponse, bytes: number) => void;
}

export interface ConnectHandler {
  /**
   * @param body of the request. By default the handler reads it from Node as it arrives.
   * @param since when the headers arrived, by performance.now(). Default: now.
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
  /** When the headers arrived, by performance.now(). */
  readonly since: number;
}

/** Undefined when the request's authority is invalid. */
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
    // Only the URL, which the peer's headers make up, can fail here. The peer gets a 400.
    return undefined;
  }
}

/** Node's client, and Connect on top of it, write an IPv6 address without brackets. */
function bracketAuthority({ headers }: Request): void {
  const { ':authority': authority } = headers as { ':authority'?: string };
  const [, address, port] = /^([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*):([0-9]+)$/.exec(authority ?? '') ?? [];
  if (address !== undefined && isIPv6(address)) headers[':authority'] = `[${address}]:${port}`;
}

/** Sends the headers with the first message, because the handler may set them until then. */
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
    // This ends the handler as well.
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
  // After a failed call, a caller that leaves its side open would keep its place.
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
