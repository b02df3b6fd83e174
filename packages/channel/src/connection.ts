// The streams of an open channel, for both sides. docs/channel.md 5 to 7.

import { IdentityError } from '@palyra/identity/portable';
import { type StreamConnection, StreamReset, toCloseReason } from '@palyra/rpc/portable';
import { closedNormally, errorOf, numberOf, resetReason, webSocketCode, webSocketReason } from './codes.ts';
import { decodeFrames, encodeFrame, type Frame, maxNumber } from './frame.ts';
import { type Inbox, type MessageSocket, SocketClosed } from './message-socket.ts';
import type { Agreed } from './noise/handshake.ts';
import { Outbox } from './outbox.ts';
import type { ChannelStream, StreamOwner } from './stream.ts';

export interface ConnectionOptions {
  readonly socket: MessageSocket;
  readonly inbox: Inbox;
  readonly agreed: Agreed;
  readonly maxStreams: number;
  readonly maxUnreadBytes: number;
  /** How long the peer may be silent before the connection ends, ms. */
  readonly idleTimeoutMs: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** Time for the peer to close the socket after a GOAWAY, ms. */
const goawayGraceMs = 1_000;
const nothing = new Uint8Array();

export abstract class ChannelConnection implements StreamConnection, StreamOwner {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** The handshake hash. Equal on both sides, and unique to this channel. 32 bytes. */
  readonly channelBinding: Uint8Array;
  readonly closed: Promise<IdentityError | undefined>;
  protected readonly options: ConnectionOptions;
  protected readonly streams = new Map<number, ChannelStream>();
  protected lastStream = 0;
  readonly #outbox: Outbox;
  readonly #settled = Promise.withResolvers<IdentityError | undefined>();
  #failure: IdentityError | undefined;
  #lastMessageAt = performance.now();

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.remoteAddress = options.remoteAddress;
    this.remotePort = options.remotePort;
    this.channelBinding = options.agreed.hash;
    this.closed = this.#settled.promise;
    this.#outbox = new Outbox(options.socket, options.agreed.send, () => this.#lost());
  }

  /** Why the connection ended. */
  get failure(): IdentityError | undefined {
    return this.#failure;
  }

  /** Starts reading. Call it once. */
  listen(): void {
    void this.#receive();
  }

  /** Ends the connection if the peer has been silent too long. Call it regularly. @param now from performance.now(). */
  check(now: number): void {
    if (now - this.#lastMessageAt < this.options.idleTimeoutMs) return;
    this.gone(new IdentityError('UNREACHABLE', 'Nothing was heard from the other side for too long.'));
    this.options.socket.terminate();
  }

  close(error?: IdentityError): void {
    if (this.#failure) return;
    const { socket } = this.options;
    const number = error ? numberOf(error.code) : closedNormally;
    this.send({ type: 'goaway', number, reason: toCloseReason(error?.message ?? '') });
    this.gone(error);
    // Set first, so that the connection ends even if a step below fails.
    detached(setTimeout(() => socket.terminate(), goawayGraceMs));
    this.#outbox.whenEmpty(() => socket.close(webSocketCode(error), webSocketReason(error)));
  }

  send(frame: Frame): Promise<void> | undefined {
    return this.#outbox.put(encodeFrame(frame));
  }

  abstract begin(stream: ChannelStream): number;

  over({ id }: ChannelStream): void {
    if (id !== undefined) this.streams.delete(id);
  }

  /** Creates a stream that the peer opened. @throws MESSAGE_INVALID if the peer may not open it. */
  protected abstract began(id: number): ChannelStream;

  /** Called for RESETs and messages without content, so that a subclass can limit them. */
  protected onReset(): void {}
  protected onIdleMessage(): void {}

  protected gone(error: IdentityError | undefined): void {
    if (this.#failure) return;
    this.#failure = error ?? new IdentityError('UNREACHABLE', 'The connection is gone.');
    for (const stream of [...this.streams.values()]) stream.fail(this.#failure);
    this.streams.clear();
    this.#settled.resolve(error);
  }

  async #receive(): Promise<void> {
    const { inbox, agreed } = this.options;
    try {
      for (;;) {
        const message = await inbox.next();
        if (this.#failure) continue;
        const opened = agreed.receive.open(nothing, message);
        const plaintext = opened instanceof Promise ? await opened : opened;
        this.#lastMessageAt = performance.now();
        const frames = decodeFrames(plaintext);
        if (frames.length === 0) this.onIdleMessage();
        for (const frame of frames) if (!this.#failure) this.#accept(frame);
      }
    } catch (error) {
      if (error instanceof SocketClosed) this.#lost();
      // An authentic message that breaks the protocol.
      else if (error instanceof IdentityError) this.close(error);
      else this.#forged();
    }
  }

  #accept(frame: Frame): void {
    switch (frame.type) {
      case 'data': {
        const stream = this.#streamOf(frame.stream);
        if (stream && !stream.arrive(frame.bytes)) throw invalid('data after the end of its stream');
        return;
      }
      case 'end': {
        const stream = this.#streamOf(frame.stream);
        if (stream && !stream.arriveEnd()) throw invalid('a second end of a stream');
        return;
      }
      case 'reset': {
        if (frame.stream > this.lastStream) throw invalid('a reset of a stream that has not begun');
        this.onReset();
        this.streams.get(frame.stream)?.fail(new StreamReset(resetReason(frame.number)));
        return;
      }
      case 'ping':
        this.onIdleMessage();
        if (!this.#failure) void this.send({ type: 'pong', value: frame.value });
        return;
      case 'pong':
        this.onIdleMessage();
        return;
      case 'goaway':
        this.gone(errorOf(frame.number, frame.reason));
        this.#outbox.stop();
        detached(setTimeout(() => this.options.socket.terminate(), goawayGraceMs));
        this.options.socket.close(webSocketCode(undefined), '');
    }
  }

  /** Undefined if the stream has ended. */
  #streamOf(id: number): ChannelStream | undefined {
    if (id <= this.lastStream) return this.streams.get(id);
    if (id !== this.lastStream + 1 || id >= maxNumber) throw invalid('a stream that is not the next one');
    const stream = this.began(id);
    this.lastStream = id;
    return stream;
  }

  /** The socket ended without a GOAWAY. */
  #lost(): void {
    this.gone(new IdentityError('UNREACHABLE', 'The connection was lost.'));
    this.#outbox.stop();
    this.options.socket.terminate();
  }

  /** A message failed authentication: something in between changed, repeated, dropped or reordered messages. */
  #forged(): void {
    const message = 'Something between the two sides changes their messages. The connection was ended.';
    this.gone(new IdentityError('UNREACHABLE', message));
    this.#outbox.stop();
    this.options.socket.close(
      webSocketCode(new IdentityError('MESSAGE_INVALID', message)),
      'MESSAGE_INVALID',
    );
    detached(setTimeout(() => this.options.socket.terminate(), goawayGraceMs));
  }
}

export function invalid(what: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The peer broke the protocol: ${what}.`);
}

/** Keeps a timer in Node from keeping the process alive. */
export function detached(timer: unknown): void {
  (timer as { unref?(): void }).unref?.();
}
