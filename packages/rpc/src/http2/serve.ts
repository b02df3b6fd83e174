// Serves calls on Node's HTTP/2 server: plain unary gRPC calls directly, all other calls through Connect.

import { EventEmitter } from 'node:events';
import http2 from 'node:http2';
import { Code, ConnectError, type ConnectRouter, type ContextValues } from '@connectrpc/connect';
import { connectHandler } from '../calls/connect-handler.ts';
import { maxHeaderBytes } from '../calls/header-fields.ts';
import { acceptedEncoding, encodingProblem } from '../calls/message-encoding.ts';
import type { OpenCalls } from '../calls/open-calls.ts';
import { RequestBody } from '../calls/request-body.ts';
import type { RequestHead, UnaryAnswer, UnaryCall, UnaryCallOptions } from '../calls/unary-call.ts';
import { UnaryMethods } from '../calls/unary-methods.ts';
import { tooManyUnfinishedBytes, UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import { toConnectError } from '../error-map.ts';
import { takeOver } from '../node-internals.ts';
import { closeAfterAnswer } from './node-http2.ts';
import { type Header, type OrReset, respond, respondRefusal } from './respond.ts';

type Server = http2.Http2Server | http2.Http2SecureServer;

export interface ServeHttp2Options extends UnaryCallOptions {
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  /** Context values for the handlers. Undefined when the session is not served. */
  readonly contextValues: (session: http2.ServerHttp2Session) => ContextValues | undefined;
  /** The answer to the calls of a session that is not served, when it is time. Undefined: the calls end with the session. */
  readonly refusal?: (session: http2.ServerHttp2Session) => Promise<Error> | undefined;
  /** Called for an answer that HTTP/2 cannot carry. The peer's call is reset. */
  readonly onError: (error: unknown, path: string) => void;
  /** Limits the bytes of incomplete messages. Default: a limit for this server alone. */
  readonly unfinished?: UnfinishedBytes;
  /** Of one call's headers, and of its trailers, bytes (RFC 9113 6.5.2). Default 16 KiB. */
  readonly headerBytes?: number;
  /** Called for the HEADERS and DATA of every answer, before they are sent. */
  readonly answered?: (session: http2.Http2Session, bytes: number) => void;
  /** Limits the calls of a session. Default: no limit. */
  readonly openCalls?: OpenCalls;
}

export function serveHttp2(server: Server, options: ServeHttp2Options): void {
  const { routes, check, readMaxBytes, writeMaxBytes, requestMs } = options;
  const { unfinished = new UnfinishedBytes() } = options;
  const { headerBytes = maxHeaderBytes, answered = () => {}, openCalls } = options;
  const methods = new UnaryMethods(options);
  const calls = new WeakMap<
    http2.Http2Stream,
    { readonly body: RequestBody; readonly values: ContextValues; readonly since: number }
  >();
  const handle = connectHandler({
    routes: methods.collect(routes),
    ...(check && { interceptors: [check.interceptor] }),
    readMaxBytes,
    ...(requestMs !== undefined && { requestMs }),
    ...(writeMaxBytes !== undefined && { writeMaxBytes }),
    onError: options.onError,
    contextValues: (request) => calls.get((request as http2.Http2ServerRequest).stream)!.values,
    answered: ({ stream }: http2.Http2ServerResponse, bytes) => {
      if (stream.session) answered(stream.session, bytes);
    },
  });
  serveRequests(server, (request, response) => {
    const call = calls.get(request.stream);
    if (call) handle(request, response, call.body, call.since);
  });
  const together = nextTurn();
  const makeRequest = takeStreams(server, (stream, headers, flags, rawHeaders) => {
    const session = stream.session as http2.ServerHttp2Session | undefined;
    // The peer has gone or broke the protocol. The stream is over, and `close` follows.
    stream.on('error', ignore);
    stream.on('close', letGo);
    if (!session) return;
    const place = openCalls?.take(session, stream);
    if (openCalls && !place) return;
    const tooLarge = () => stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    const ownHeaderBytes = headerListBytes(rawHeaders);
    if (ownHeaderBytes > headerBytes) return tooLarge();
    stream.on('trailers', (_headers, _flags, rawTrailers: string[]) => {
      if (headerListBytes(rawTrailers) > headerBytes) tooLarge();
    });
    const values = options.contextValues(session);
    const body = new RequestBody(stream, unfinished.of(session));
    const orReset: OrReset = (work) => {
      try {
        work();
      } catch (error) {
        options.onError(error, headers[':path'] ?? '');
        stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      }
    };
    if (!values) {
      body.drop();
      void options.refusal?.(session)?.then((error) => {
        if (stream.destroyed) return;
        orReset(() => respondRefusal(stream, headers, toConnectError(error).error, []));
        closeAfterAnswer(stream);
      });
      return;
    }

    const since = performance.now();
    const head = new Http2Head(headers);
    const isPlain = headers[':method'] === 'POST' && headers.expect === undefined;
    const call = isPlain ? methods.begin(head, values, body.held) : undefined;
    const told = (answer: UnaryAnswer, orReset: OrReset) => {
      answered(session, answer.message?.length ?? 0);
      respond(stream, answer, orReset);
    };
    const answer = (what: UnaryAnswer) => orReset(() => told(what, orReset));
    const go = () => {
      if (!place) return begin();
      let isWaiting = false;
      const begun = place.work(() => {
        if (isWaiting) body.held.remove(ownHeaderBytes);
        begin();
      });
      if (begun) return;
      // A waiting call counts as incomplete, even when it waits for us.
      isWaiting = body.held.add(ownHeaderBytes);
      if (!isWaiting) refuse(toConnectError(tooManyUnfinishedBytes()).error);
    };
    const begin = () => {
      if (stream.destroyed) return;
      const encoding = handle.serves(head.path) ? encodingProblem((name) => head.field(name)) : undefined;
      if (body.failure) refuse(body.failure);
      else if (encoding) refuse(encoding, acceptedEncoding);
      else if (call) answerUnary(stream, call, body, together, answer);
      else {
        calls.set(stream, { body, values, since });
        makeRequest(stream, headers, flags, rawHeaders);
      }
    };
    const refuse = (error: unknown, ...more: readonly Header[]) => {
      body.drop();
      if (stream.destroyed) return;
      if (call) answer(call.refuse(error));
      else {
        answered(session, 0);
        orReset(() => respondRefusal(stream, headers, ConnectError.from(error), more));
      }
      closeAfterAnswer(stream);
    };
    try {
      const wait = call || handle.serves(head.path) ? check?.begin(head.path.slice(1), values) : undefined;
      if (wait) wait.then(go, (error) => refuse(error));
      else go();
    } catch (error) {
      refuse(error);
    }
  });
}

/** Size as RFC 9113 6.5.2 counts it. nghttp2 enforces the limit only after the peer has acknowledged it. */
function headerListBytes(rawHeaders: readonly string[]): number {
  let bytes = rawHeaders.length * 16;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

type Serve = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void;

/**
 * Takes every request of the server. Node itself would answer requests with an Expect header and requests for a tunnel. It throws
 * when the peer has already reset such a stream; nothing could catch that exception, and it would end the process.
 */
export function serveRequests(server: Server, serve: Serve): void {
  const refuse: Serve = (request) => request.stream.close();
  server.on('request', serve);
  // Sends no 100. A client that waits for it sends its message anyway after a while (RFC 9110 10.1.1).
  server.on('checkContinue', serve);
  server.on('checkExpectation', refuse);
  server.on('connect', refuse);
}

type TakeStream = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
) => void;

/** @returns a function that makes a request and a response from a stream, as Node itself would. */
function takeStreams(server: Server, take: TakeStream): TakeStream {
  const makeRequest = takeOver<Parameters<TakeStream>>(server, 'stream');
  server.on('stream', take);
  return makeRequest;
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
 * Delays the work of one turn of the event loop to its end. Answers made together then leave in few writes, and one write costs
 * more than one answer.
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
const takeNothing = () => false;

/**
 * Under load, small collections of garbage find streams that have ended, and copy each with everything that it refers to. Without
 * the call, that is half as much. `emit` has copied its list, so the other listeners of `close` still run.
 */
function letGo(this: http2.Http2Stream): void {
  // The method of Readable would look at the stream once more, in a later turn.
  EventEmitter.prototype.removeAllListeners.call(this);
  this.on('error', ignore);
  this.push = takeNothing;
}

const peerGone = () => new ConnectError('The peer has gone.', Code.Canceled);

function answerUnary(
  stream: http2.ServerHttp2Stream,
  call: UnaryCall,
  body: RequestBody,
  together: (work: () => void) => void,
  answer: (what: UnaryAnswer) => void,
): void {
  stream.on('close', () => call.abort(peerGone));
  const refuse = (refusal: UnaryAnswer) => {
    body.drop();
    answer(refusal);
    closeAfterAnswer(stream);
  };
  let isLate = false;
  call.begins((refusal) => {
    isLate = true;
    refuse(refusal);
  });
  if (isLate) return;
  body.read(
    (bytes) => {
      const refusal = call.push(bytes);
      if (refusal) refuse(refusal);
    },
    () => {
      call.isWhole();
      together(() => void call.answer().then(answer));
    },
    (error) => refuse(call.refuse(error)),
  );
}
