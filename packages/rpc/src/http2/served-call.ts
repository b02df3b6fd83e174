// One call on an HTTP/2 server, from its headers to its answer. Everything about it is in one object, because thousands of calls
// that end each second are mostly work for the collection of garbage.

import { EventEmitter } from 'node:events';
import type http2 from 'node:http2';
import { Code, ConnectError, type ContextValues } from '@connectrpc/connect';
import type { CallCheck } from '../access/access-check.ts';
import { headerListBytes } from '../calls/header-fields.ts';
import { acceptedEncoding, encodingProblem } from '../calls/message-encoding.ts';
import type { CallPlace } from '../calls/open-calls.ts';
import type { BodyReader, RequestBody } from '../calls/request-body.ts';
import type { RequestHead, UnaryAnswer, UnaryCall } from '../calls/unary-call.ts';
import type { UnaryMethods } from '../calls/unary-methods.ts';
import { tooManyUnfinishedBytes } from '../calls/unfinished-bytes.ts';
import { toConnectError } from '../error-map.ts';
import { closeAfterAnswer } from './node-http2.ts';
import { type Header, respond, respondRefusal } from './respond.ts';

/** What the calls of one server share. */
export interface CallServer {
  readonly check: CallCheck | undefined;
  readonly methods: UnaryMethods;
  /** Whether Connect serves the path. */
  readonly serves: (path: string) => boolean;
  readonly serveByConnect: (call: ServedCall) => void;
  /** Answers the call at the end of this turn of the event loop. */
  readonly answerTogether: (call: ServedCall) => void;
  readonly answered: (session: http2.Http2Session, bytes: number) => void;
  /** Called for an answer that HTTP/2 cannot carry. */
  readonly onError: (error: unknown, path: string) => void;
}

/** The arguments of Node's event `stream`. */
export type StreamEvent = readonly [
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];

export class ServedCall implements RequestHead, BodyReader {
  readonly event: StreamEvent;
  readonly values: ContextValues;
  readonly body: RequestBody;
  /** When the headers arrived, by performance.now(). */
  readonly since = performance.now();
  readonly path: string;
  readonly #server: CallServer;
  readonly #stream: http2.ServerHttp2Stream;
  readonly #session: http2.ServerHttp2Session;
  readonly #headers: http2.IncomingHttpHeaders;
  readonly #place: CallPlace | undefined;
  /** Undefined when Connect serves the call. */
  readonly #unary: UnaryCall | undefined;
  #isWaiting = false;

  constructor(
    server: CallServer,
    session: http2.ServerHttp2Session,
    event: StreamEvent,
    values: ContextValues,
    body: RequestBody,
    place: CallPlace | undefined,
  ) {
    const [stream, headers] = event;
    this.#server = server;
    this.#session = session;
    this.event = event;
    this.#stream = stream;
    this.#headers = headers;
    this.values = values;
    this.body = body;
    this.#place = place;
    this.path = headers[':path'] ?? '';
    const isPlain = headers[':method'] === 'POST' && headers.expect === undefined;
    this.#unary = isPlain ? server.methods.begin(this, values, body.held) : undefined;
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

  /** Answers the call when the caller is known and its turn has come. */
  serve(): void {
    const { check, serves } = this.#server;
    try {
      const isServed = this.#unary || serves(this.path);
      const wait = isServed ? check?.begin(this.path.slice(1), this.values) : undefined;
      if (wait)
        wait.then(
          () => this.#go(),
          (error) => this.#refuse(error),
        );
      else this.#go();
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** The stream is closed. */
  end(): void {
    this.body.end();
    this.#unary?.abort(peerGone);
  }

  /** For `answerTogether`. */
  answer(): void {
    void this.#unary?.answer().then((answer) => this.#answer(answer));
  }

  // The body of a call that Connect does not serve.

  bodyBytes(bytes: Uint8Array): void {
    const refusal = this.#unary?.push(bytes);
    if (refusal) this.#answerEarly(refusal);
  }

  bodyEnded(): void {
    this.#unary?.isWhole();
    this.#server.answerTogether(this);
  }

  bodyFailed(error: ConnectError): void {
    this.#refuse(error);
  }

  #go(): void {
    const place = this.#place;
    if (!place) {
      this.#begin();
      return;
    }
    const headerBytes = () => headerListBytes(this.event[3]);
    const begun = place.work(() => {
      if (this.#isWaiting) this.body.held.remove(headerBytes());
      this.#begin();
    });
    if (begun) return;
    // A waiting call counts as incomplete, even when it waits for us.
    this.#isWaiting = this.body.held.add(headerBytes());
    if (!this.#isWaiting) this.#refuse(toConnectError(tooManyUnfinishedBytes()).error);
  }

  #begin(): void {
    if (this.#stream.destroyed) return;
    const { serves, serveByConnect } = this.#server;
    const encoding = serves(this.path) ? encodingProblem((name) => this.field(name)) : undefined;
    if (this.body.failure) this.#refuse(this.body.failure);
    else if (encoding) this.#refuse(encoding, acceptedEncoding);
    else if (this.#unary) this.#read(this.#unary);
    else serveByConnect(this);
  }

  #read(unary: UnaryCall): void {
    let isLate = false;
    unary.begins((refusal) => {
      isLate = true;
      this.#answerEarly(refusal);
    });
    if (!isLate) this.body.read(this);
  }

  #answer(answer: UnaryAnswer): void {
    this.#server.answered(this.#session, answer.message?.length ?? 0);
    respond(this.#stream, answer, (error) => this.#unsendable(error));
  }

  /** Before the whole request has arrived. */
  #answerEarly(refusal: UnaryAnswer): void {
    this.body.drop();
    this.#answer(refusal);
    closeAfterAnswer(this.#stream);
  }

  #refuse(error: unknown, ...more: readonly Header[]): void {
    this.body.drop();
    if (this.#stream.destroyed) return;
    if (this.#unary) this.#answer(this.#unary.refuse(error));
    else {
      this.#server.answered(this.#session, 0);
      respondRefusal(this.#stream, this.#headers, ConnectError.from(error), more, (unsent) =>
        this.#unsendable(unsent),
      );
    }
    closeAfterAnswer(this.#stream);
  }

  #unsendable(error: unknown): void {
    this.#server.onError(error, this.path);
  }
}

const peerGone = () => new ConnectError('The peer has gone.', Code.Canceled);
const ignore = () => {};
const takeNothing = () => false;

/**
 * For a stream that has just closed. Node keeps the streams of a session in a Map, so small collections of garbage copy some of
 * those that have ended (linked-list.ts), with everything that they refer to. `emit` has copied its list, so the other listeners
 * of `close` still run.
 */
export function letGo(stream: http2.Http2Stream): void {
  // The method of Readable would look at the stream once more, in a later turn.
  EventEmitter.prototype.removeAllListeners.call(stream);
  stream.on('error', ignore);
  stream.push = takeNothing;
}
