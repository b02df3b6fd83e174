// The body of a request over HTTP/2, taken from Node as it arrives. Node keeps each DATA frame as a view of the buffer that the
// socket read, up to 64 KiB for one byte, even while nothing reads the stream. So this file replaces the stream's `push`, through
// which every frame passes: it copies and joins small pieces, counts all of them, and drops bytes that the peer may not send.
// `push` and `_read` of a Readable are public. The file also relies on Node's HTTP/2 calling `push`, on Node granting no more flow
// control when `push` returns false, and on Node granting again in `_read`. tests/calls/request-bodies.test.ts fails when Node
// changes that.

import type { ServerHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import { Code, ConnectError } from '@connectrpc/connect';
import { Wakeup } from '@palyra/identity/values';
import { toConnectError } from '../error-map.ts';
import { Pieces } from './chunk-buffer.ts';
import type { HeldBytes, SessionBytes } from './unfinished-bytes.ts';

/** With this many unread bytes, the peer is granted no more. Equals the initial window of HTTP/2. */
const waitingBytes = 65_535;

/** Takes the bytes of a body. */
export interface BodyReader {
  bodyBytes(bytes: Uint8Array): void;
  bodyEnded(): void;
  /** Called instead of `bodyEnded` when the peer is shut out before its last byte. */
  bodyFailed(error: ConnectError): void;
}

export class RequestBody implements AsyncIterable<Uint8Array> {
  /** Counts the bytes that the call keeps of this body; released at the end. */
  readonly held: HeldBytes;
  readonly #stream: ServerHttp2Stream;
  readonly #session: SessionBytes;
  readonly #waiting: Pieces;
  #reader: BodyReader | undefined;
  /** Wakes an iteration that waits for the next bytes. */
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
    // Bytes that arrived with the headers, when data was waiting before the session began.
    const early = stream.readableLength > 0 ? stream.read() : null;
    this.#isStarted = early !== null;
    stream.push = (chunk: Uint8Array | null) =>
      chunk === null ? Readable.prototype.push.call(stream, null) : this.#arrived(chunk);
    if (early) this.#arrived(early);
    stream.on('end', () => {
      this.#isWhole = true;
      this.#reader?.bodyEnded();
      this.#arrivedInto?.();
    });
    this.held.whenStopped((reason) => {
      // When the request is complete, the code that answers the call reports the reason.
      if (!this.#isWhole) this.#fail(toConnectError(reason).error);
    });
  }

  /** Why the rest of the body is refused: there was no room, or the peer was shut out. */
  get failure(): ConnectError | undefined {
    return this.#failure;
  }

  /** The caller has sent everything. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Passes on the bytes that have arrived and all that follow. Before this call the peer is granted nothing. */
  read(reader: BodyReader): void {
    this.#reader = reader;
    if (this.#waiting.byteLength > 0) reader.bodyBytes(this.#waiting.take());
    if (this.#isWhole) this.#reader?.bodyEnded();
    else this.#grant();
  }

  /** Drops the waiting bytes and all that follow. The peer is granted nothing more. */
  drop(): void {
    this.#isDropped = true;
    this.#reader = undefined;
    this.#waiting.clear();
  }

  /** The stream is closed. */
  end(): void {
    this.#waiting.clear();
    this.held.end();
  }

  /** @throws CANCELED when the peer leaves before its last byte, TOO_MANY_REQUESTS when there is no room. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const stream = this.#stream;
    const wakeup = new Wakeup();
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
    const reader = this.#reader;
    this.drop();
    this.#failure = error;
    reader?.bodyFailed(error);
    this.#arrivedInto?.();
  }

  #grant(): void {
    if (this.#stream.destroyed) return;
    this.#isStopped = false;
    // The first read also notices an end that arrived with the headers. After it, Node assumes that a read is under way.
    if (this.#isStarted) this.#stream._read(waitingBytes);
    else this.#stream.read(0);
    this.#isStarted = true;
  }

  /** @returns whether the peer may send as many bytes again. */
  #arrived(bytes: Uint8Array): boolean {
    if (this.#isDropped || this.#session.isStopped) return false;
    if (this.#reader) {
      this.#reader.bodyBytes(bytes);
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
