// Services on a server of Node's HTTP/2: plain unary gRPC calls directly, everything else through Connect.

import http2 from 'node:http2';
import { Code, ConnectError, type ConnectRouter, type ContextValues } from '@connectrpc/connect';
import { connectHandler } from './connect-handler.ts';
import { closeAfterAnswer } from './node-http2.ts';
import {
  grpcContentType,
  grpcStatusOk,
  type RequestHead,
  type UnaryAnswer,
  type UnaryCall,
  type UnaryCallOptions,
  UnaryMethods,
} from './unary-call.ts';

type Server = http2.Http2Server | http2.Http2SecureServer;

export interface ServeHttp2Options extends UnaryCallOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** What handlers find in their context. Undefined: the session is not served, and its end answers the call. */
  readonly contextValues: (session: http2.ServerHttp2Session) => ContextValues | undefined;
  /** An answer that HTTP/2 cannot carry. The peer's call is reset. */
  readonly onError: (error: unknown, path: string) => void;
}

export function serveHttp2(server: Server, options: ServeHttp2Options): void {
  const { routes, contextValues, check, readMaxBytes, writeMaxBytes } = options;
  const methods = new UnaryMethods(options);
  const handle = connectHandler({
    routes: methods.collect(routes),
    ...(check && { interceptors: [check.interceptor] }),
    readMaxBytes,
    ...(writeMaxBytes !== undefined && { writeMaxBytes }),
    onError: options.onError,
    contextValues: (request) => {
      const session = 'stream' in request ? request.stream.session : undefined;
      const values = session && contextValues(session as http2.ServerHttp2Session);
      if (!values) throw new TypeError('a request on a session that was not accepted');
      return values;
    },
  });
  serveRequests(server, (request, response) => {
    const { session } = request.stream;
    if (session && contextValues(session as http2.ServerHttp2Session)) handle(request, response);
  });
  const together = nextTurn();
  beforeRequests(server, (stream, headers) => {
    if (headers[':method'] !== 'POST' || headers.expect !== undefined) return false;
    const values = stream.session && contextValues(stream.session as http2.ServerHttp2Session);
    const head = new Http2Head(headers);
    const call = values && methods.begin(head, values);
    if (call) answerUnary(stream, call, together, (error) => options.onError(error, head.path));
    return call !== undefined;
  });
}

type Serve = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void;

/**
 * Every request of the server. Node itself would answer those that expect something and those for a tunnel, and throws
 * when the peer has reset such a stream by then: nobody could catch that, and it would end the process.
 */
export function serveRequests(server: Server, serve: Serve): void {
  const refuse: Serve = (request) => request.stream.close();
  server.on('request', serve);
  // Without the 100: who waits for it sends its message all the same after a while (RFC 9110 10.1.1).
  server.on('checkContinue', serve);
  server.on('checkExpectation', refuse);
  server.on('connect', refuse);
}

/** @param take whether it has taken the stream; of others Node makes a request and a response. */
function beforeRequests(
  server: Server,
  take: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => boolean,
): void {
  const [makeRequest] = server.listeners('stream');
  server.removeAllListeners('stream');
  server.on('stream', (...stream) => {
    if (!take(stream[0], stream[1])) makeRequest?.apply(server, stream);
  });
}

class Http2Head implements RequestHead {
  readonly path: string;
  readonly #headers: http2.IncomingHttpHeaders;

  constructor(headers: http2.IncomingHttpHeaders) {
    this.path = headers[':path'] ?? '';
    this.#headers = headers;
  }

  field(name: string): string | undefined {
    return this.#headers[name] as string | undefined;
  }

  headers(): Headers {
    const plain = new Headers();
    for (const [name, value] of Object.entries(this.#headers))
      if (!name.startsWith(':')) plain.set(name, String(value));
    return plain;
  }
}

/**
 * Puts off what comes in one turn of the event loop to its end. Answers that are made together leave in few writes, of which
 * each costs more than an answer.
 */
function nextTurn(): (work: () => void) => void {
  let waiting: (() => void)[] = [];
  const run = () => {
    const now = waiting;
    waiting = [];
    for (const work of now) work();
  };
  return (work) => {
    if (waiting.push(work) === 1) setImmediate(run);
  };
}

const ignore = () => {};
const peerGone = () => new ConnectError('The peer has gone.', Code.Canceled);

function answerUnary(
  stream: http2.ServerHttp2Stream,
  call: UnaryCall,
  together: (work: () => void) => void,
  onError: (error: unknown) => void,
): void {
  const orReset: OrReset = (work) => {
    try {
      work();
    } catch (error) {
      onError(error);
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    }
  };
  const answer = (what: UnaryAnswer) => orReset(() => respond(stream, what, orReset));
  // The peer has gone, or broke the protocol: its stream is over, and `close` says so.
  stream.on('error', ignore);
  stream.on('close', () => call.abort(peerGone));
  stream.on('data', (bytes: Buffer) => {
    const refusal = call.push(bytes);
    if (!refusal) return;
    stream.removeAllListeners('data').removeAllListeners('end');
    answer(refusal);
    closeAfterAnswer(stream);
  });
  stream.on('end', () => together(() => void call.answer().then(answer)));
}

/** Does it, or tells of it and resets the stream. */
type OrReset = (work: () => void) => void;

const plainHeaders = { ':status': 200, 'content-type': grpcContentType };
const plainTrailers = { 'grpc-status': grpcStatusOk };

function respond(
  stream: http2.ServerHttp2Stream,
  { header, message, trailer }: UnaryAnswer,
  orReset: OrReset,
): void {
  if (stream.destroyed || stream.closed) return;
  const headers = header ? { ...Object.fromEntries(header), ...plainHeaders } : plainHeaders;
  const trailers = trailer ? Object.fromEntries(trailer) : plainTrailers;
  if (!message) {
    stream.respond({ ...headers, ...trailers }, { endStream: true });
    return;
  }
  stream.respond(headers, { waitForTrailers: true });
  stream.on('wantTrailers', () => orReset(() => stream.sendTrailers(trailers)));
  stream.end(message);
}
