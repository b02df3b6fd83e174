// The body of a request over HTTP/2, taken from Node as it comes. Node keeps each DATA frame as a view of what the socket
// read with it, up to 64 KiB for a byte, and does so also while nobody reads the stream. So the stream's `push`, through which
// every frame comes, is ours: small pieces are copied and joined, all are counted, and what nobody may send is dropped.
// `push` and `_read` of a Readable are public; that Node's HTTP/2 calls the one, stops granting flow control when that returns
// false, and grants again in the other, is what tests/calls/request-bodies.test.ts would notice a change of.

import type { ServerHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import { Code, ConnectError } from '@connectrpc/connect';
import { Wakeup } from '@palyra/identity/values';
import { toConnectError } from '../error-map.ts';
import { Pieces } from './chunk-buffer.ts';
import type { HeldBytes, SessionBytes } from './unfinished-bytes.ts';

/** Bytes that wait for a reader before the peer is granted no more: as large as the window that HTTP/2 begins with. */
const waitingBytes = 65_535;

export class RequestBody implements AsyncIterable<Uint8Array> {
  /** What the call keeps of this body counts here; given back when the stream closes. */
  readonly held: HeldBytes;
  readonly #stream: ServerHttp2Stream;
  readonly #session: SessionBytes;
  readonly #waiting: Pieces;
  #sink: ((bytes: Uint8Array) => void) | undefined;
  #ended: (() => void) | undefined;
  #failed: ((error: ConnectError) => void) | undefined;
  /** Of an iteration, which waits for the next bytes. */
  #arrivedInto: (() => void) | undefined;
  #failure: ConnectError | undefined;
  #isWhole = false;
  #isDropped = false;
  #isStarted = false;
  #isStopped = false;

  constructor(stream: ServerHttp2Stream, session: SessionBytes) {
    this.#stream = stream;
    this.#session = session;
    this.held = session.call();
    this.#waiting = new Pieces(this.held);
    // What came with the headers, when the session began with bytes that had waited for it.
    const early = stream.readableLength > 0 ? stream.read() : null;
    this.#isStarted = early !== null;
    stream.push = (chunk: Uint8Array | null) =>
      chunk === null ? Readable.prototype.push.call(stream, null) : this.#arrived(chunk);
    if (early) this.#arrived(early);
    stream.on('end', () => {
      this.#isWhole = true;
      this.#ended?.();
    });
    stream.on('close', () => {
      this.#waiting.clear();
      this.held.end();
    });
    this.held.whenStopped((reason) => {
      // A call that has come whole is told by who answers it.
      if (!this.#isWhole) this.#fail(toConnectError(reason).error);
    });
  }

  /** Why the rest is not taken any more: there was no room, or the peer was shut out. */
  get failure(): ConnectError | undefined {
    return this.#failure;
  }

  /** The caller has said all it has to say. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * Hands on what has come, and everything that comes. Before this the peer is granted nothing.
   * @param failed instead of `ended` when the peer is shut out before its last byte.
   */
  read(sink: (bytes: Uint8Array) => void, ended: () => void, failed: (error: ConnectError) => void): void {
    this.#sink = sink;
    this.#ended = ended;
    this.#failed = failed;
    if (this.#waiting.byteLength > 0) sink(this.#waiting.take());
    if (this.#isWhole) ended();
    else this.#grant();
  }

  /** What waits, and what comes from now on, is of no use. The peer is granted nothing more. */
  drop(): void {
    this.#isDropped = true;
    this.#sink = undefined;
    this.#ended = undefined;
    this.#failed = undefined;
    this.#waiting.clear();
  }

  /** @throws CANCELED when the peer goes before its last byte, TOO_MANY_REQUESTS when there is no room. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const stream = this.#stream;
    const wakeup = new Wakeup();
    this.#ended = wakeup.wake;
    stream.on('close', wakeup.wake);
    this.#arrivedInto = wakeup.wake;
    try {
      this.#grant();
      for (;;) {
        if (this.#failure) throw this.#failure;
        if (this.#waiting.byteLength > 0) {
          const bytes = this.#waiting.take();
          if (this.#isStopped) this.#grant();
          yield bytes;
        } else if (this.#isWhole) return;
        else if (stream.destroyed) throw new ConnectError('The peer has gone.', Code.Canceled);
        else await wakeup.sleep();
      }
    } finally {
      this.drop();
      stream.off('close', wakeup.wake);
    }
  }

  #fail(error: ConnectError): void {
    if (this.#isDropped) return;
    const failed = this.#failed;
    this.drop();
    this.#failure = error;
    failed?.(error);
    this.#arrivedInto?.();
  }

  #grant(): void {
    if (this.#stream.destroyed) return;
    this.#isStopped = false;
    // The first read also notices an end that came with the headers. After it Node believes that a read is under way.
    if (this.#isStarted) this.#stream._read(waitingBytes);
    else this.#stream.read(0);
    this.#isStarted = true;
  }

  /** @returns whether the peer is granted as much again. */
  #arrived(bytes: Uint8Array): boolean {
    if (this.#isDropped || this.#session.isStopped) return false;
    if (this.#sink) {
      this.#sink(bytes);
      return !this.#isDropped;
    }
    try {
      this.#waiting.push(bytes);
    } catch (error) {
      this.#fail(toConnectError(error).error);
    }
    this.#arrivedInto?.();
    this.#isStopped = this.#isDropped || this.#waiting.byteLength >= waitingBytes;
    return !this.#isStopped;
  }
}
