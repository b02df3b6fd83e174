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
import { dropFarDeadline } from './deadline.ts';
import { closeAfterAnswer, roomOrEnd } from './node-http2.ts';
import { inMessages, inPieces } from './pieces.ts';
import type { RequestBody } from './request-body.ts';

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

export interface ConnectHandlerOptions extends ConnectRouterOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** One message received, bytes. */
  readonly readMaxBytes: number;
  /** What handlers find in their context. */
  readonly contextValues: (request: Request) => ContextValues;
  /** Told of an answer that could not be sent to a caller who is there. The caller's call is reset. */
  readonly onError: (error: unknown, path: string) => void;
  /** Told of every part of an answer over HTTP/2. */
  readonly answered?: (response: Http2ServerResponse, bytes: number) => void;
}

export interface ConnectHandler {
  /** @param body of the request; otherwise it is read from Node as it comes. */
  (request: Request, response: Response, body?: RequestBody): void;
  serves(path: string): boolean;
}

export function connectHandler(options: ConnectHandlerOptions): ConnectHandler {
  const { routes, contextValues, onError } = options;
  const router = createConnectRouter({ ...options, acceptCompression: [] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const handle = (request: Request, response: Response, body?: RequestBody) => {
    const path = request.url ?? '';
    const handler = handlers.get(path);
    if (!handler) return refuse(response, 404, body);
    const call = universalRequest(request, response, contextValues(request), options.readMaxBytes, body);
    if (!call) return refuse(response, 400, body);
    handler(call)
      .then((answer) => send(answer, response, options.answered))
      .catch((error) => {
        if (hasGone(response)) return;
        onError(error, path);
        reset(response);
      });
  };
  return Object.assign(handle, { serves: (path: string) => handlers.has(path) });
}

/** Undefined when the request's authority is none. */
function universalRequest(
  request: Request,
  response: Response,
  contextValues: ContextValues,
  maxBytes: number,
  own: RequestBody | undefined,
): UniversalServerRequest | undefined {
  bracketAuthority(request);
  try {
    const call = universalRequestFromNodeRequest(request, response, undefined, contextValues);
    dropFarDeadline(call.header);
    const isStreamed = /^application\/(?:grpc|connect\+)/i.test(call.header.get('content-type') ?? '');
    const body = own ?? (call.body as AsyncIterable<Uint8Array>);
    return { ...call, body: isStreamed ? inMessages(body, maxBytes, own?.held) : inPieces(body, own?.held) };
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
  answered: ConnectHandlerOptions['answered'],
): Promise<void> {
  const response = to as ServerResponse;
  const head = () => response.writeHead(answer.status, Object.fromEntries(answer.header ?? []));
  let begun = false;
  for await (const bytes of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    // Which ends the handler as well.
    if (hasGone(to)) return;
    if (!begun) head();
    begun = true;
    if ('stream' in to) answered?.(to, bytes.length);
    if (!response.write(bytes)) await roomOrEnd(to);
  }
  if (hasGone(to)) return;
  if (!begun) head();
  if (answer.trailer) response.addTrailers(Object.fromEntries(answer.trailer));
  response.end();
}
function refuse(response: Response, status: number, body: RequestBody | undefined): void {
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
