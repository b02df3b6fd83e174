// Serves calls on Node's HTTP/2 server: plain unary gRPC calls directly, all other calls through Connect.

import http2 from 'node:http2';
import type { ConnectRouter, ContextValues } from '@connectrpc/connect';
import { connectHandler } from '../calls/connect-handler.ts';
import { headerListBytes, maxHeaderBytes } from '../calls/header-fields.ts';
import type { CallPlace, OpenCalls } from '../calls/open-calls.ts';
import { RequestBody } from '../calls/request-body.ts';
import type { UnaryCallOptions } from '../calls/unary-call.ts';
import { UnaryMethods } from '../calls/unary-methods.ts';
import { UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import { toConnectError } from '../error-map.ts';
import { takeOver } from '../node-internals.ts';
import { closeAfterAnswer } from './node-http2.ts';
import { respondRefusal } from './respond.ts';
import { type CallServer, letGo, ServedCall, type StreamEvent } from './served-call.ts';

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
  const calls = new WeakMap<http2.Http2Stream, ServedCall>();
  const methods = new UnaryMethods(options);
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
  const shared: CallServer = {
    check,
    methods,
    serves: handle.serves,
    serveByConnect: (call) => {
      const [stream] = call.event;
      calls.set(stream, call);
      makeRequest(...call.event);
    },
    answerTogether: atEndOfTurn((call) => call.answer()),
    answered,
    onError: options.onError,
  };
  const tooLarge = (stream: http2.Http2Stream) => stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
  function checkTrailers(this: http2.Http2Stream, _headers: unknown, _flags: unknown, rawTrailers: string[]) {
    if (headerListBytes(rawTrailers) > headerBytes) tooLarge(this);
  }
  const makeRequest = takeStreams(server, (...event) => {
    const [stream, headers, , rawHeaders] = event;
    const session = stream.session as http2.ServerHttp2Session | undefined;
    // The peer has gone or broke the protocol. The stream is over, and `close` follows.
    stream.on('error', ignore);
    let place: CallPlace | undefined;
    let body: RequestBody | undefined;
    let call: ServedCall | undefined;
    stream.on('close', () => {
      letGo(stream);
      place?.end();
      body?.end();
      call?.end();
    });
    if (!session) return;
    place = openCalls?.take(session, stream);
    if (openCalls && !place) return;
    if (headerListBytes(rawHeaders) > headerBytes) return tooLarge(stream);
    stream.on('trailers', checkTrailers);
    const values = options.contextValues(session);
    body = new RequestBody(stream, unfinished.of(session));
    if (!values) {
      body.drop();
      void options.refusal?.(session)?.then((error) => {
        if (stream.destroyed) return;
        respondRefusal(stream, headers, toConnectError(error).error, [], (unsent) =>
          options.onError(unsent, headers[':path'] ?? ''),
        );
        closeAfterAnswer(stream);
      });
      return;
    }
    call = new ServedCall(shared, session, event, values, body, place);
    call.serve();
  });
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

type TakeStream = (...event: StreamEvent) => void;

/** @returns a function that makes a request and a response from a stream, as Node itself would. */
function takeStreams(server: Server, take: TakeStream): TakeStream {
  const makeRequest = takeOver<[...StreamEvent]>(server, 'stream');
  server.on('stream', take);
  return makeRequest;
}

/**
 * Delays the work of one turn of the event loop to its end. Answers made together then leave in few writes, and one write costs
 * more than one answer.
 */
function atEndOfTurn<Item>(work: (item: Item) => void): (item: Item) => void {
  let waiting: Item[] = [];
  const run = () => {
    const now = waiting;
    waiting = [];
    for (const each of now) work(each);
  };
  return (item) => {
    if (waiting.push(item) === 1) setImmediate(run);
  };
}

const ignore = () => {};
