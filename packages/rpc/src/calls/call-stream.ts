// One call on one stream, for either side: sends and receives frames, and enforces their order and the credit (docs/quic.md
// section 3).
//
//   caller's frames    REQUEST  DATA*  END        then ends the stream, once the answer is complete
//   answerer's frames  RESPONSE DATA*  TRAILERS   then ends the stream
//   both, any time     WINDOW
//
// The caller keeps its direction open until it has the whole answer. A reset of a direction that has ended would not
// reach the handler, and the caller still sends WINDOW frames.

import { IdentityError } from '@palyra/identity/portable';
import { toConnectError } from '../error-map.ts';
import { type ResetReason, StreamReset } from '../streams/close-code.ts';
import type { ByteStream } from '../streams/contract.ts';
import { ReceiveQueue } from '../streams/receive-queue.ts';
import { concat } from './bytes.ts';
import { encodeFrame, type Frame, type FrameLimits, FrameParser } from './frame.ts';
import type { HeaderList } from './header-list.ts';
import { invalid } from './protocol-error.ts';
import { type HeldBytes, tooManyUnfinishedBytes } from './unfinished-bytes.ts';

/** Bytes of data that a side may send before the other side has read any. Fixed by the protocol. */
export const initialWindowBytes = 262_144;
const maxWindowBytes = 0x3fff_ffff;

type RequestFrame = Extract<Frame, { type: 'request' }>;
type ResponseFrame = Extract<Frame, { type: 'response' }>;

export class CallStream {
  readonly #stream: ByteStream;
  readonly #limits: FrameLimits;
  readonly #role: 'caller' | 'answerer';

  #sending: Uint8Array[] = [];
  #sendCredit = initialWindowBytes;
  #creditWaiter: (() => void) | undefined;

  #expected: 'head' | 'data' | 'nothing' = 'head';
  readonly #head = Promise.withResolvers<RequestFrame | ResponseFrame>();
  readonly #trailers = Promise.withResolvers<HeaderList>();
  readonly #held: HeldBytes | undefined;
  readonly #body: ReceiveQueue;
  #receiveCredit = initialWindowBytes;
  #taken = 0;

  #failure: Error | undefined;
  /** Both sides have sent everything. */
  #done = false;
  #onFailure: ((error: Error) => void) | undefined;

  /** @param held counts bytes that were received and not read; released when the call is over. */
  constructor(stream: ByteStream, role: 'caller' | 'answerer', limits: FrameLimits, held?: HeldBytes) {
    this.#held = held;
    this.#body = new ReceiveQueue(initialWindowBytes, held);
    this.#stream = stream;
    this.#role = role;
    this.#limits = limits;
    // A reader sees the rejection. An abandoned call has no reader.
    for (const { promise } of [this.#head, this.#trailers]) promise.catch(() => {});
    // The reader answers the call with this error. Once the body is complete, other code answers.
    held?.whenStopped((reason) => {
      if (this.#expected !== 'nothing') this.#body.fail(toConnectError(reason).error);
    });
    void this.#receive();
  }

  /** Why the call ended before it was complete: a reset, a lost connection or a protocol error. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Complete or failed. Frames sent from now on are dropped. */
  get over(): boolean {
    return this.#done || this.#failure !== undefined;
  }

  /** Whether the peer has sent everything. */
  get isWhole(): boolean {
    return this.#expected === 'nothing';
  }

  /** Calls the listener once, immediately if the call has already failed. */
  onFailure(listener: (error: Error) => void): void {
    if (this.#failure) listener(this.#failure);
    else this.#onFailure = listener;
  }

  /** For the answerer. */
  request(): Promise<RequestFrame> {
    return this.#head.promise as Promise<RequestFrame>;
  }

  /** For the caller. */
  response(): Promise<ResponseFrame> {
    return this.#head.promise as Promise<ResponseFrame>;
  }

  /** For the caller: settles after the last data. */
  trailers(): Promise<HeaderList> {
    return this.#trailers.promise;
  }

  /** The peer's next data; undefined after the last. Each read grants the peer as many new bytes. */
  async read(): Promise<Uint8Array | undefined> {
    const bytes = await this.#body.read();
    if (bytes) this.#grantCredit(bytes.length);
    return bytes;
  }

  /** The peer's data, as `read` returns it. */
  async *body(): AsyncGenerator<Uint8Array> {
    let complete = false;
    try {
      for (;;) {
        const bytes = await this.read();
        complete = !bytes;
        if (!bytes) return;
        yield bytes;
      }
    } finally {
      // A caller that stops reading the answer no longer needs the call.
      if (!complete && this.#role === 'caller') this.reset('CANCELLED');
    }
  }

  /** Queues a frame for the next flush. @throws MESSAGE_TOO_LARGE */
  queue(frame: Exclude<Frame, { type: 'data' }>): void {
    this.queueEncoded(encodeFrame(frame, this.#limits));
  }

  /** Queues a frame that is already encoded. */
  queueEncoded(frame: Uint8Array): void {
    this.#sending.push(frame);
  }

  /** Queues data for the next flush as far as the peer's credit allows, and waits for credit for the rest. */
  async queueData(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.over; ) {
      if (this.#sendCredit === 0) {
        await this.flush();
        await this.#credit();
        continue;
      }
      const size = Math.min(bytes.length - at, this.#sendCredit, this.#limits.maxDataBytes);
      this.#sendCredit -= size;
      this.#sending.push(encodeFrame({ type: 'data', bytes: bytes.subarray(at, at + size) }));
      at += size;
    }
  }

  async flush(): Promise<void> {
    if (this.#failure) throw this.#failure;
    const bytes = this.#done ? undefined : this.#takeQueued();
    if (bytes) await this.#stream.write(bytes);
  }

  /** For the answerer: flushes and ends the call. */
  async finish(): Promise<void> {
    if (this.#failure) throw this.#failure;
    this.#done = true;
    this.#held?.end();
    await this.#stream.end(this.#takeQueued());
  }

  /** Abandons the call, which fails on this side too. */
  reset(reason: ResetReason, error: Error = new StreamReset(reason)): void {
    if (this.over) return;
    this.#stream.reset(reason);
    this.#fail(error);
  }

  async #receive(): Promise<void> {
    const parser = new FrameParser(this.#limits, this.#held);
    try {
      for (;;) {
        const chunk = await this.#stream.read();
        if (!chunk) break;
        // Ignores what a caller sends after it has its answer.
        if (this.#done) continue;
        for (const frame of parser.push(chunk)) this.#accept(frame);
      }
      if (this.#done) return;
      parser.end();
      if (this.#expected !== 'nothing') throw invalid('the stream ended within a call');
      // A caller that ends early has left. A caller that has the answer ends the stream itself.
      if (this.#role === 'answerer') throw new StreamReset('CANCELLED');
    } catch (error) {
      this.#broken(error);
    }
  }

  #broken(error: unknown): void {
    if (this.over) return;
    const failure = error instanceof Error ? error : new Error(String(error));
    // No effect when the stream itself has failed.
    this.#stream.reset(isProtocolError(failure) ? failure.code : 'CANCELLED');
    this.#fail(failure);
  }

  #accept(frame: Frame): void {
    if (frame.type === 'window') {
      this.#addCredit(frame.bytes);
      return;
    }
    const { head, last } = this.#role === 'caller' ? fromAnswerer : fromCaller;
    if (frame.type === head && this.#expected === 'head') {
      this.#expected = 'data';
      this.#head.resolve(frame as RequestFrame | ResponseFrame);
    } else if (frame.type === 'data' && this.#expected === 'data') {
      this.#addBody(frame.bytes);
    } else if (frame.type === last && this.#expected === 'data') {
      this.#expected = 'nothing';
      this.#body.end();
      if (frame.type === 'trailers') this.#complete(frame.headers);
    } else {
      throw invalid(`${frame.type} where it does not belong`);
    }
  }

  /** The caller has the whole answer and ends its own direction, which was open until now. */
  #complete(trailers: HeaderList): void {
    this.#done = true;
    this.#trailers.resolve(trailers);
    this.#creditWaiter?.();
    // The answer is complete, so a stream that fails now loses nothing.
    this.#stream.end().catch(() => {});
  }

  #addBody(bytes: Uint8Array): void {
    this.#receiveCredit -= bytes.length;
    if (this.#held?.fits(bytes.length) === false) throw tooManyUnfinishedBytes();
    if (this.#receiveCredit < 0 || !this.#body.push(bytes)) {
      throw new IdentityError('MESSAGE_TOO_LARGE', 'The peer sent more than it was allowed to.');
    }
  }

  /** Grants half a window at a time, so that small messages need no WINDOW frame. */
  #grantCredit(size: number): void {
    this.#taken += size;
    if (this.#taken < initialWindowBytes / 2 || this.#expected === 'nothing' || this.over) return;
    this.#receiveCredit += this.#taken;
    this.queue({ type: 'window', bytes: this.#taken });
    this.#taken = 0;
    // When the stream can no longer be written to, reading fails as well.
    this.flush().catch(() => {});
  }

  #addCredit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.#sendCredit > maxWindowBytes) throw invalid('a window without bounds');
    this.#creditWaiter?.();
  }

  async #credit(): Promise<void> {
    while (this.#sendCredit === 0 && !this.over) {
      await new Promise<void>((resolve) => {
        this.#creditWaiter = resolve;
      });
    }
    if (this.#failure) throw this.#failure;
  }

  #takeQueued(): Uint8Array | undefined {
    const queued = this.#sending;
    if (queued.length === 0) return undefined;
    this.#sending = [];
    return queued.length === 1 ? queued[0] : concat(queued);
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#head.reject(error);
    this.#trailers.reject(error);
    this.#body.fail(error);
    this.#held?.end();
    this.#creditWaiter?.();
    this.#onFailure?.(error);
  }
}

function isProtocolError(
  error: Error,
): error is IdentityError & { code: 'MESSAGE_INVALID' | 'MESSAGE_TOO_LARGE' | 'TOO_MANY_REQUESTS' } {
  return (
    error instanceof IdentityError &&
    (error.code === 'MESSAGE_INVALID' ||
      error.code === 'MESSAGE_TOO_LARGE' ||
      error.code === 'TOO_MANY_REQUESTS')
  );
}

const fromCaller = { head: 'request', last: 'end' } as const;
const fromAnswerer = { head: 'response', last: 'trailers' } as const;
