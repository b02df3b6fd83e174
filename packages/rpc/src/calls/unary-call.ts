// Serves unary calls of the gRPC protocol directly, from bytes to bytes. Most calls are unary. Connect builds a chain of streams
// for each and takes several times as long. Connect serves everything else: streams, JSON, gRPC-Web, its own protocol,
// compression.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type MethodImpl,
} from '@connectrpc/connect';
import { parseTimeout, setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { IdentityError } from '@palyra/identity';
import type { CallCheck } from '../access/access-check.ts';
import { callLate, defaultRequestMs, requestLate } from '../connections/input-clock.ts';
import { toConnectError } from '../error-map.ts';
import { maxTimerMs } from './deadline.ts';
import { encodeUnaryMessage, UnaryMessage } from './unary-message.ts';
import type { HeldBytes } from './unfinished-bytes.ts';

export interface UnaryCallOptions {
  /** Checks the caller's right to the call before the message is read. */
  readonly check?: CallCheck;
  /** One message received, bytes. */
  readonly readMaxBytes: number;
  /** One message sent, bytes. Default: no limit. */
  readonly writeMaxBytes?: number;
  /** Time for a request, or for each message of a stream, to arrive completely, ms. Default 30 s. */
  readonly requestMs?: number;
  /** Called when a handler's answer cannot be encoded. */
  readonly onError?: ((error: unknown, path: string) => void) | undefined;
}

/** Headers of a request, without the pseudo headers of HTTP/2. */
export interface RequestHead {
  readonly path: string;
  /** @param name in lower case. */
  field(name: string): string | undefined;
  headers(): Headers;
}

export interface UnaryAnswer {
  /** Headers that the handler set. */
  readonly header: Headers | undefined;
  /** A gRPC message, with its prefix. Absent when the call failed. */
  readonly message?: Uint8Array;
  /** `grpc-status` and other trailers. Absent when the call succeeded and there are no other trailers. */
  readonly trailer: Headers | undefined;
}

export const grpcContentType = 'application/grpc+proto';
export const grpcStatusOk = '0';

const callOver = () => new ConnectError('the call is over', Code.Canceled);

export type UnaryImplementation = MethodImpl<DescMethodUnary>;

/** One call. Reads the request, and serves as the handler's context. */
export class UnaryCall implements HandlerContext {
  readonly #method: DescMethodUnary;
  readonly #implementation: UnaryImplementation;
  readonly #options: UnaryCallOptions;
  readonly #head: RequestHead;
  /** Part of the handler's context. */
  readonly values: ContextValues;
  /** By performance.now(). */
  readonly #deadlineMs: number | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #timeoutError: ConnectError | undefined;
  readonly #input: UnaryMessage;
  #inputTimer: NodeJS.Timeout | undefined;
  /** Receives the answer when the request is not complete in time. */
  #late: ((answer: UnaryAnswer) => void) | undefined;
  // Created on demand, because most handlers never use them.
  #abort: AbortController | undefined;
  #aborted: (() => ConnectError) | undefined;
  #ended: AbortSignal | undefined;
  #signal: AbortSignal | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor(
    method: DescMethodUnary,
    implementation: UnaryImplementation,
    options: UnaryCallOptions,
    head: RequestHead,
    values: ContextValues,
    held?: HeldBytes,
  ) {
    this.#input = new UnaryMessage(options.readMaxBytes, held);
    this.#method = method;
    this.#implementation = implementation;
    this.#options = options;
    this.#head = head;
    this.values = values;
    const timeout = head.field('grpc-timeout');
    if (timeout === undefined) return;
    const { timeoutMs, error } = parseTimeout(timeout, Number.POSITIVE_INFINITY);
    this.#timeoutError = error;
    if (timeoutMs === undefined) return;
    this.#deadlineMs = performance.now() + timeoutMs;
    const late = () => {
      this.abort(callLate);
      this.#isLate(callLate());
    };
    this.#timer = setTimeout(late, Math.min(timeoutMs, maxTimerMs));
  }

  /**
   * Called when the transport begins to read the request.
   * @param late receives the answer, once, when the request is not complete by the call's deadline or within `requestMs`.
   */
  begins(late: (answer: UnaryAnswer) => void): void {
    const { requestMs = defaultRequestMs } = this.#options;
    this.#late = late;
    // The deadline may have passed already.
    if (this.#aborted) this.#isLate(this.#aborted());
    else this.#inputTimer = setTimeout(() => this.#isLate(requestLate(requestMs)), requestMs);
  }

  /** Called when the request is complete. */
  isWhole(): void {
    clearTimeout(this.#inputTimer);
    this.#late = undefined;
  }

  #isLate(error: ConnectError): void {
    const late = this.#late;
    this.isWhole();
    late?.(this.#fail(error));
  }

  /** Takes the next bytes of the request. @returns the answer, if the rest of the request cannot change it. */
  push(bytes: Uint8Array): UnaryAnswer | undefined {
    try {
      this.#input.push(bytes);
      return undefined;
    } catch (error) {
      return this.#fail(error);
    }
  }

  /** Answers a complete request. Never rejects. */
  async answer(): Promise<UnaryAnswer> {
    this.isWhole();
    try {
      if (this.#timeoutError) throw this.#timeoutError;
      // Nothing waits for the answer any more.
      if (this.#aborted) throw this.#aborted();
      const { input } = this.#method;
      const bytes = this.#input.take();
      const request = bytes ? parse(input, bytes) : create(input);
      const handle = (ended?: AbortSignal) => {
        this.#ended = ended;
        return this.#implementation(request, this);
      };
      const { check } = this.#options;
      const head = this.#head;
      const answer = await (check
        ? check.unary(head.path.slice(1), this.values, handle, (name) => head.field(name))
        : handle());
      const message = this.#encode(answer);
      this.#responseTrailer?.set('grpc-status', grpcStatusOk);
      // Work that depends on the signal ends with the call.
      this.abort(callOver);
      return { header: this.#responseHeader, message, trailer: this.#responseTrailer };
    } catch (error) {
      return this.#fail(error);
    }
  }

  /** The answer to a call that must not continue. */
  refuse(error: unknown): UnaryAnswer {
    return this.#fail(error);
  }

  #fail(cause: unknown): UnaryAnswer {
    this.isWhole();
    this.#input.clear();
    const error =
      cause instanceof ConnectError || cause instanceof IdentityError
        ? toConnectError(cause).error
        : new ConnectError('internal error', Code.Internal, undefined, undefined, cause);
    this.abort(() => error);
    setTrailerStatus(this.responseTrailer, error);
    return { header: this.#responseHeader, trailer: this.#responseTrailer };
  }

  /** Tells the handler that its answer is no longer needed. No effect on a call that is over. */
  abort(reason: () => ConnectError): void {
    if (this.#aborted) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#inputTimer);
    this.#aborted = reason;
    this.#abort?.abort(reason());
  }

  // The handler's context. Each part is created at its first use.

  get protocolName(): string {
    return 'grpc';
  }

  get requestMethod(): string {
    return 'POST';
  }

  get method(): DescMethodUnary {
    return this.#method;
  }

  get service(): DescService {
    return this.#method.parent;
  }

  get url(): string {
    return `https://palyra.invalid${this.#head.path}`;
  }

  timeoutMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - performance.now();
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#makeSignal();
    return this.#signal;
  }

  #makeSignal(): AbortSignal {
    this.#abort = new AbortController();
    if (this.#aborted) this.#abort.abort(this.#aborted());
    return this.#ended ? AbortSignal.any([this.#abort.signal, this.#ended]) : this.#abort.signal;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= this.#head.headers();
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  #encode(answer: Awaited<ReturnType<UnaryImplementation>>): Uint8Array {
    try {
      const bytes = toBinary(this.#method.output, create(this.#method.output, answer));
      return encodeUnaryMessage(bytes, this.#options.writeMaxBytes);
    } catch (error) {
      if (!(error instanceof ConnectError)) this.#options.onError?.(error, this.#head.path);
      throw error;
    }
  }
}

function parse(schema: DescMessage, bytes: Uint8Array) {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new ConnectError(`parse binary: ${(error as Error).message}`, Code.Internal);
  }
}
